"""learners: trees and Gaussian processes that know nothing of energy, their files, and a cache of fits."""
