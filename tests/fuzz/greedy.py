"""Inputs that are small and ask for much: what unfolds, repeats, nests, or says that it does. `recipes.py` has the language."""

from __future__ import annotations

UNFOLDING = b"@arrays\nw 67108864,1 <f8 zeros\nv 67108863,1 <f8 zeros"
"""1 MB on disk, 1 GiB in memory."""
ARRAYS = (
    UNFOLDING,
    b"@arrays\nw 100000000,0 <f8 zeros\nv 100000000,0 <f8 zeros",
    b"@arrays\nw 0,100000000 <f8 zeros\nv 0,100000000 <f8 zeros",
    b"@arrays\nw 100000000,0 <f4 zeros\nv 100000000,0 <f4 zeros",
    b"@arrays\nw 100000000 |b1 zeros",
    b"@arrays\nw 1,1 <U25000000 zeros",
)
"""And such with a side of zero beside a long one, and with one long text."""
FACTORS = (
    b"@arrays\nqr_w 100000000,0,5 <f8 zeros\nqr_v 9,5,0 <f8 zeros\ngram32_w 13,0,0 <f4 zeros\ngram32_v 13,0,0 <f4 zeros",
    b"@arrays\nqr_w 5000000,5,5 <f8 zeros\nqr_v 13,5,5 <f8 zeros\ngram32_w 13,5,5 <f4 zeros\ngram32_v 13,5,5 <f4 zeros",
)
KINDS = b"struct decimal wide list lists structs map text long null".split()
TABLES = tuple(b"@table\nrows 3000000\nrun_id word\na " + kind for kind in KINDS)
HISTORIES = tuple(
    b"@table\nrows 3000000\nepoch epoch\naccuracy/train real\naccuracy/test real\na " + one for one in (b"struct", b"decimal")
)
"""Some kB on disk, 24 MB a column where its rows are numbers."""
HEADER = b"@tensors\n"
TENSORS = (
    HEADER + b'{"a":[@8000000*[],@[]]}\n',
    HEADER + b'{"__metadata__":{"state":"[@8000000*[],@[]]"}}\n',
    HEADER + b'{"__metadata__":{@2000000*"a":"",@"facts":"{}"}}\n',
    HEADER + b'{@400000*"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},@"b":{}}\n',
    HEADER + b'{"w":{"dtype":"F32","shape":[10000000000,0],"data_offsets":[0,0]},"__metadata__":{"facts":"{}","state":"{}"}}\n',
    HEADER + b"@33000000* @\n",
)
"""Headers of some MB: lists, a state of lists, names, tensors of nothing, blanks."""
JSON = (
    b"[@8000000*[],@[]]",
    b'{"a":[@8000000*{},@{}]}',
    b"@20000000*[@",
    b"[@10000000*1,@1]",
    b'{@2000000*"a":{},@"b":1}',
    b'"@33000000*a@"',
    b"[@4000@*1e999,@1]",
)
"""Lists, mappings, nesting, numbers, names, a text."""
ROWS = (b'@3000000*{"a":1}\n@', b"@3000000*{}\n@", b"@3000000*[]\n@", b"@5000000*1\n@", b'{@2000000*"a":1,@"b":1}')
"""Lines of JSON."""
CSV = (
    b"a,b\n@4000000*1,2\n@",
    b"@8000000*a,@a\n1\n",
    b"@16000000*\n@",
    b"@16000000*\r@",
    b"a\n@16000000*9@",
    b"a,b\n@2000000*,@\n1",
)
YAML = (
    b"a: [@300000*1,@1]",
    b"@250000*- @1",
    b"@500000*[@",
    b"a: &a [@100000*1,@1]\nb: [@100000*{<<: *a},@1]",
    b"@40000*a: &b 1\n@",
)
"""Below a MiB each."""
STUDY = (
    b"a:\n  sentence: b.\n  source: ours\n  runs:\n    - {condition: grok, seed: 0..999999999}\n",
    b"a:\n  sentence: b.\n  source: ours\n  runs:\n    - {condition: grok, seed: [0..9999, 0..9999], width: 1..9999}\n",
    b"a:\n  sentence: b.\n  source: ours\n  runs:\n    - {condition: grok, epochs: 1000000000000, max_window: 1000000000000}\n",
)
CONFIG = (
    b"epochs=1000000000000",
    b"epochs=1000000000000\nmax_window=1000000000000\nwindow=999999999999",
    b"modulus=1000000007",
    b"width=1000000000000\ntop_pairs=1000000000000",
    b"epochs=1000000000000\ncheckpoint_epochs=@200000*1,@2",
    b"epochs=1000000000000\ncheckpoint_epochs=0..999999999999",
    b"spectrum_methods=@200000*svd,@gram",
    b"spectrum_methods=gram,randomized_@1000@*9@",
    b"seed=@300000*9@",
    b"options=@300000*a=1;@",
)
"""Configs of long runs, of long lists, of long numbers."""
SPACE = (
    b"window=1..1000000000000",
    b"window=@1000000*5,@6",
    b"slope_threshold=@1000000*9@",
    b"smoothing=1..1000000000000\nseed=0..99999999",
)
EPOCHS = (b"0-1000000000000-1", b"0-999999-1,@10000*0-999999-1,@0", b"@60000*1,@1", b"0-@120000*9@-1")
"""No longer than an argument of a command may be, 128 KiB."""
