# As continuous.profile, the rate falling along a line.
name: linear
about: row and column scales, norms, biases and positions, linear decay
loss: kl
schedule: linear
batch: 1024
stage scales epochs=1 scales=3e-3 plain=3e-3
