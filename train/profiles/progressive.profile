# Encoding group by group: the first layers first, the embedding, the most sensitive, last;
# what is not yet encoded is trained to make up for it.  Then the continuous rest alone.
name: progressive
about: encode layer by layer, train the rest in between, then the scales
loss: kl
schedule: cosine
batch: 1024
stage encode epochs=2 matrices=progressive order=forward latents=1e-3 scales=1e-3 plain=1e-3
stage scales epochs=1 scales=2e-3 plain=2e-3
