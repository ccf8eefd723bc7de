"""The command `download` (appendix on data)."""

import argparse

DOWNLOADS = ("voc", "sbd", "coco")


def run_download(args: argparse.Namespace) -> None:
    """Fetch a data set and say how to use it."""
    from ..datasets.downloads import download  # here, as no other command need wait for torchvision

    download(args.what, args.root, args.keep_archives)
    use = "coco" if args.what == "coco" else "pascal"
    print(f"Use it with --dataset {use} --root {args.root}")
