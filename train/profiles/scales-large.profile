# The profile scales for models above 50 million parameters: a third of its rates, at which more
# than a hundred steps still lower the divergence of SmolLM2-135M, and a schedule that ends at a
# tenth.  The log probability of the text is drawn to the original's twice as strongly as in
# scales-text.profile, for these models lose more (docs/log/TUNING.md).
name: scales-large
about: row and column scales, norms, biases and positions, at rates for larger models
loss: kl
schedule: linear
floor: 0.1
batch: 1024
stage scales epochs=1 scales=1e-3 plain=1e-3 text=2 average=0.35
