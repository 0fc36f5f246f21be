# The whole of GPT-2 small in 45 MB.  Which matrix, and which rows of the embedding, get how many
# bits is measured for the model at hand (docs/ENCODER.md).
name: mobile-45mb
about: every matrix as seed within 45 MB of file; the default for GPT-2 small
budget-bytes: 45000000
allocation: measured
metric: fisher
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed hadamard=max center=on
