# What measured best so far (docs/TUNING.md): codes stand still, all that is continuous moves,
# by the plain divergence from the original, in many small steps.
name: default
about: row and column scales, norms, biases and positions
loss: kl
schedule: cosine
batch: 1024
stage scales epochs=1 scales=3e-3 plain=3e-3
