# As default.profile, the rate falling along a line instead of half a cosine.
name: linear
about: default, with linear decay
loss: kl
schedule: linear
batch: 1024
stage scales epochs=1 scales=3e-3 plain=3e-3
