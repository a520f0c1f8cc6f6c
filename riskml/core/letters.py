"""Names in any script on Matplotlib's pictures."""

from __future__ import annotations

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

FONTS = (
    "Noto Sans CJK KR",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans KR",
    "NanumGothic",
    "NanumBarunGothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
)
"""Of wide scripts, the first that is installed draws what Matplotlib's own font has not."""


def lettered(figure: Figure) -> Figure:
    """The figure; what its own font cannot draw, such as Hangul, is drawn by another font."""
    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()]
    if texts:
        there = {font.name for font in font_manager.fontManager.ttflist}
        others = [name for name in FONTS if name in there]
        for text in texts:
            text.set_family(list(dict.fromkeys([*text.get_family(), *others])))  # type: ignore[attr-defined]
    return figure
