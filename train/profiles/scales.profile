# Codes stand still, all that is continuous moves, by the plain divergence from the original, in
# many small steps.  They are noisy: the rate stops falling at a fifth, and the result is the
# mean of the last third of the states.  The control's default: an original has no codes.
name: scales
about: row and column scales, norms, biases and positions, the mean of the last states
loss: kl
schedule: linear
floor: 0.2
batch: 1024
stage scales epochs=1 scales=3e-3 plain=3e-3 average=0.35
