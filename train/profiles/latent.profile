# Weights that move under the error of their codes, encoded again from time to time.
name: latent
about: f32 weights with straight-through gradients, encoded again every 64 steps, then the scales
loss: kl
schedule: cosine
batch: 1024
stage latent epochs=2 matrices=latent latents=1e-3 scales=1e-3 plain=1e-3 encode-every=64 search=fast
stage scales epochs=1 scales=2e-3 plain=2e-3
