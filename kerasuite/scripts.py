"""Scripts that put no spaces between words, in which a character stands for a word where words are counted."""

# A range of characters for regular expressions: kana, the ideographs that Chinese and Japanese share, Thai, Lao, Khmer.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0eff\u1780-\u17ff"
# As a regular expression: what stands between spaces, or a character of such a script.
WORD = rf"[{UNSPACED}]|[^\s{UNSPACED}]+"
