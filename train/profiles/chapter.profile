# The three stages of chapter 8.4.1, its epochs 1-10, 11-25, 26-50 and its rates.  The layers
# made new are what the codes carry, their scales; the standard layers are norms, biases and
# positions.  "Stronger regularisation" of the last stage is a decay towards the values that
# the scales start from.  The chapter names no optimiser, batch or warm-up.
name: chapter
about: the chapter's three stages: frozen, selective, full
loss: chapter
schedule: constant
warmup: 0
batch: 1024
stage frozen    epochs=10 scales=1e-5 plain=0
stage selective epochs=15 scales=5e-6 plain=1e-6
stage full      epochs=25 scales=1e-6 plain=1e-6 decay=0.1
