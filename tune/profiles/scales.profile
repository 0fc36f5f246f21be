# Codes stand still; all that is continuous moves.
name: scales
about: row and column scales, norms, biases and positions
loss: kl
schedule: cosine
stage scales epochs=1 scales=2e-3 plain=2e-3
