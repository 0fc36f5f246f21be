# Codes stand still; all that is continuous moves; the rate falls along half a cosine to 0.
name: continuous
about: row and column scales, norms, biases and positions, cosine decay
loss: kl
schedule: cosine
batch: 1024
stage scales epochs=1 scales=3e-3 plain=3e-3
