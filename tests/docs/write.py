"""Write what commands print into README and docs: `python -m tests.docs.write`, by the versions that README names."""

from __future__ import annotations

from irene.files import write_whole
from tests.docs.blocks import PAGES, ROOT, fill_outputs, run_irene


def write_pages() -> None:
    """Run the command of every `console` block, and put its output under it."""
    for page in PAGES:
        before = (ROOT / page).read_text("utf-8")
        after = fill_outputs(before, run_irene)
        if after != before:
            write_whole(ROOT / page, after)
            print(f"wrote {page}")


if __name__ == "__main__":
    write_pages()
