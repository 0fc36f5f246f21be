# Blocks found by rbe convert --allocate on rbe-mini (probe divergence on the calibration text);
# its perplexity has not been measured yet.
name: mini-2.89-allocated
about: rbe-mini within 2.89 bits a parameter, blocks by measured sensitivity
budget-bits: 2.89
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed bits=3.95 hadamard=max center=on
attn.qkv  layers=0     codec=seed block=55 hadamard=max
attn.qkv  layers=1     codec=seed block=154 hadamard=max
attn.qkv  layers=2     codec=seed block=128 hadamard=max
attn.qkv  layers=3-4   codec=seed block=48 hadamard=max
attn.qkv  layers=5     codec=seed block=55 hadamard=max
attn.qkv  layers=6     codec=seed block=48 hadamard=max
attn.qkv  layers=7     codec=seed block=37 hadamard=max
attn.qkv  layers=8-9   codec=seed block=43 hadamard=max
attn.qkv  layers=10    codec=seed block=32 hadamard=max
attn.qkv  layers=11    codec=seed block=35 hadamard=max
attn.proj layers=0     codec=seed block=64 hadamard=max
attn.proj layers=1-3   codec=seed block=256 hadamard=max
attn.proj layers=4     codec=seed block=52 hadamard=max
attn.proj layers=5-6   codec=seed block=64 hadamard=max
attn.proj layers=7-10  codec=seed block=43 hadamard=max
attn.proj layers=11    codec=seed block=37 hadamard=max
mlp.fc    layers=0     codec=seed block=32 hadamard=max
mlp.fc    layers=1     codec=seed block=103 hadamard=max
mlp.fc    layers=2     codec=seed block=79 hadamard=max
mlp.fc    layers=3     codec=seed block=128 hadamard=max
mlp.fc    layers=4     codec=seed block=64 hadamard=max
mlp.fc    layers=5     codec=seed block=57 hadamard=max
mlp.fc    layers=6     codec=seed block=54 hadamard=max
mlp.fc    layers=7     codec=seed block=43 hadamard=max
mlp.fc    layers=8-9   codec=seed block=41 hadamard=max
mlp.fc    layers=10-11 codec=seed block=38 hadamard=max
mlp.proj  layers=0     codec=seed block=43 hadamard=max
mlp.proj  layers=1     codec=seed block=128 hadamard=max
mlp.proj  layers=2     codec=seed block=86 hadamard=max
mlp.proj  layers=3     codec=seed block=128 hadamard=max
mlp.proj  layers=4-6   codec=seed block=64 hadamard=max
mlp.proj  layers=7-9   codec=seed block=52 hadamard=max
mlp.proj  layers=10-11 codec=seed block=43 hadamard=max
