// Sphinx's search, offline: over file:// no page may be fetched for a summary, and an anchor may hold a dot.
"use strict";

if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => plain(html, anchor && `#${CSS.escape(anchor.slice(1))}`);
});
