# mobile-45mb for a model of any size: 45 MB for 124,439,808 parameters are 2.893 bits each.
name: mini-2.89
about: every matrix as seed within 2.89 bits a parameter, file size counted
budget-bits: 2.89
other codec=f16
wpe   codec=f16
all   codec=seed hadamard=max
wte   center=on
