# For Llama models of SmolLM2's size.  Which matrix, and which rows of the embedding, get how many
# bits is measured for the model at hand.  Two-sided rounding by less text than this loses after
# rare tokens what it wins elsewhere (docs/log/ENCODER.md).
name: smol-4.5
about: every matrix as seedg within 4.5 bits a parameter, file size counted
budget-bits: 4.5
allocation: measured
metric: two-sided
tokens: 98304
compensate: 98304
compensate-share: 0.6
probes: 512
other codec=f16
all   codec=seedg hadamard=max
wte   codec=seedg hadamard=max center=on
