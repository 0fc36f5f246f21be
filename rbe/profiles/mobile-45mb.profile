# The whole of GPT-2 small in 45 MB.  The embedding gets more bits than the blocks, as estimated
# from rbe-mini (docs/ENCODER.md); --allocate measures it for the model at hand.
name: mobile-45mb
about: every matrix as seed within 45 MB of file; the default for GPT-2 small
budget-bytes: 45000000
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed bits=3.3 hadamard=max center=on
