# Feed-forward matrices at 500:1 (layers 0-2), 800:1 (3-8) and 1000:1 (9-11).  The section
# names no block size; 256 is the one with the most coefficients to choose from.
name: chapter-8.3.1
about: feed-forward at 500, 800 and 1000:1 by depth, hybrid block codec, the rest f16
series: schedule
other codec=f16
wpe   codec=f16
all   codec=f16
mlp.fc   layers=0-2    codec=hybrid block=256 ratio=500  quality=High
mlp.proj layers=0-2    codec=hybrid block=256 ratio=500  quality=High
mlp.fc   layers=3-8    codec=hybrid block=256 ratio=800  quality=Medium
mlp.proj layers=3-8    codec=hybrid block=256 ratio=800  quality=Medium
mlp.fc   layers=9-9999 codec=hybrid block=256 ratio=1000 quality=Medium
mlp.proj layers=9-9999 codec=hybrid block=256 ratio=1000 quality=Medium
