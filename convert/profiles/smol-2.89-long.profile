# smol-2.89 by 262,144 tokens of calibration, more than calibration.txt has: it wants a longer text
# (docs/GGUF.md).  With more text more of what inputs have lost may be restored.
name: smol-2.89-long
about: smol-2.89 calibrated and compensated by up to 262,144 tokens
budget-bits: 2.89
allocation: measured
metric: two-sided
tokens: 262144
compensate: 262144
compensate-share: 0.7
probes: 512
other codec=f16
all   codec=seedg hadamard=max
wte   codec=seedg hadamard=max center=on
