# As chapter.profile, with the rate that follows the perplexity (8.4.3): an evaluation is an
# epoch.  The published code never fills its history, and so never leaves its first branch;
# here every epoch's perplexity goes in after it was judged.  With "schedule: published"
# it is the constant rate that the code as printed gives.
name: chapter-adaptive
about: the three stages, the rate driven by performance
loss: chapter
schedule: adaptive
warmup: 0
batch: 1024
stage frozen    epochs=10 scales=1e-5 plain=0
stage selective epochs=15 scales=5e-6 plain=1e-6
stage full      epochs=25 scales=1e-6 plain=1e-6 decay=0.1
