# As printed: 300:1, 800:1 and 1200:1 feed-forward with blocks 64, 32 and 16, attention 200:1
# with block 128.  A block of 32 x 32 at 800:1 would have 5 bytes and one of 16 x 16 at 1200:1
# not one: there the smallest block record stands (K = 0), and the conversion says so.
name: chapter-8.3.2
about: feed-forward at 300, 800, 1200:1 with blocks 64, 32, 16, attention 200:1 with 128
series: schedule
other codec=f16
wpe   codec=f16
wte   codec=f16
mlp.fc    layers=0-2    codec=hybrid block=64  ratio=300  quality=Ultra
mlp.proj  layers=0-2    codec=hybrid block=64  ratio=300  quality=Ultra
mlp.fc    layers=3-8    codec=hybrid block=32  ratio=800  quality=High
mlp.proj  layers=3-8    codec=hybrid block=32  ratio=800  quality=High
mlp.fc    layers=9-9999 codec=hybrid block=16  ratio=1200 quality=Medium
mlp.proj  layers=9-9999 codec=hybrid block=16  ratio=1200 quality=Medium
attn.qkv                codec=hybrid block=128 ratio=200  quality=Ultra
attn.proj               codec=hybrid block=128 ratio=200  quality=Ultra
