# As scales-large.profile, and the mean log probability of the text's tokens is drawn to the
# original's: a student closer to its teacher token by token may still be a little worse at the
# text as a whole (docs/log/TUNING.md).
name: scales-text
about: as scales-large, the log probability of the text drawn to the original's
loss: kl
schedule: linear
floor: 0.1
batch: 1024
stage scales epochs=1 scales=1e-3 plain=1e-3 text=1 average=0.35
