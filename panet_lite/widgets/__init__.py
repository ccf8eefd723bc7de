"""Widgets: the method under the reader's hands, in JupyterLab and in the static page (chapter 9)."""

from .paint import PaintAndSegment

__all__ = ["PaintAndSegment"]
