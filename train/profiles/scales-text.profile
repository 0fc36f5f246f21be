# For models that compensate (docs/TUNING.md): a third of the rates of scales.profile, ending at
# a tenth.  The mean log probability of the text's tokens is drawn to the original's: a student
# that is closer to its teacher token by token may still be a little worse at the whole text.
name: scales-text
about: row and column scales, norms, biases and positions, the text's log probability with them
loss: kl
schedule: linear
floor: 0.1
batch: 1024
stage scales epochs=1 scales=1e-3 plain=1e-3 text=1 average=0.35
