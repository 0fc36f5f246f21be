name: minig-2.89
about: every matrix as seedg within 2.89 bits a parameter, file size counted
budget-bits: 2.89
allocation: measured
metric: fisher
compensate: 32768
other codec=f16
wpe   codec=int8
all   codec=seedg hadamard=max
wte   codec=seedg hadamard=max center=on
