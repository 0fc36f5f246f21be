# What measured best so far (docs/TUNING.md): the matrices are encoded one group after another,
# the embedding, whose errors nothing can make up for later, first; what is still f32 is trained
# in between, by the plain divergence from the original.  Then codes stand still and all that
# is continuous moves in many small steps.  They are noisy: the rate stops falling at a fifth,
# and the result is the mean of the last half of the states.
name: default
about: encode group by group, train the rest in between; then scales, their last states' mean
loss: kl
schedule: linear
floor: 0.2
batch: 1024
stage encode epochs=5 matrices=progressive order=embedding-first latents=1e-3 scales=2e-3 plain=2e-3
stage scales epochs=3 scales=3e-3 plain=3e-3 average=0.5
