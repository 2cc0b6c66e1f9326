"""What a word is, in any script: where words are counted, and where they are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

# Scripts that put no spaces between words, in which a character stands for a word, as ranges for regular expressions:
# kana, the ideographs that Chinese and Japanese share, Thai, Lao, Khmer.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0eff\u1780-\u17ff"
# As a regular expression: what stands between spaces, or a character of such a script.
WORD = rf"[{UNSPACED}]|[^\s{UNSPACED}]+"
# All planes that scripts and symbols lie in.
_END = 0x20000


def _ranges(holds: Callable[[str], bool]) -> str:
    """The characters of which something holds, as ranges for regular expressions."""
    codes = [code for code in range(_END) if holds(chr(code))]
    firsts = [code for code, before in zip(codes, [None, *codes]) if before != code - 1]
    lasts = [code for code, behind in zip(codes, [*codes[1:], None]) if behind != code + 1]
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in zip(firsts, lasts))


# What belongs to the letter before it: vowel signs, accents, and the joiners that stand within words. Python's \w has
# none of it. The pictures of emoji and other symbols are words by themselves.
_MARKS = _ranges(lambda character: unicodedata.category(character)[0] == "M") + "\u200c\u200d"
_SYMBOLS = _ranges(lambda character: unicodedata.category(character) == "So")


def plain_word(longest: str = "") -> str:
    """A regular expression of a word without punctuation, a symbol, or a character of a script without spaces.

    Args:
        longest: how many letters, where words have a bound; one that is longer is several.

    Example:
        >>> import re
        >>> re.findall(plain_word(), "«Cafés», don't! 很好 हिन्दी की 😀"), re.findall(plain_word("3"), "abcde")
        (['Cafés', 'don', 't', '很', '好', 'हिन्दी', 'की', '😀'], ['abc', 'de'])
    """
    letters, more = (f"{{1,{longest}}}", f"{{0,{longest}}}") if longest else ("+", "*")
    letter = rf"[^\W{UNSPACED}]"
    return rf"[{UNSPACED}]|{letter}{letters}(?:[{_MARKS}]+{letter}{more}){more}|[{_SYMBOLS}]"
