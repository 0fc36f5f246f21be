# The three stages of chapter 8.4.1, its epochs 1-10, 11-25, 26-50 and its rates.  The layers
# the scales start from.  The chapter names no optimiser, batch or warm-up.
name: chapter-adaptive
about: the three stages with the rate driven by performance (8.4.3, its history kept)
loss: chapter
schedule: adaptive
warmup: 0
stage frozen    epochs=10 scales=1e-5 plain=0
stage selective epochs=15 scales=5e-6 plain=1e-6
stage full      epochs=25 scales=1e-6 plain=1e-6 decay=0.1
