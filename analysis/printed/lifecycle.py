"""The numbers of Xu, "The Lifecycle of the Spectral Edge" (arXiv 2604.07380), as printed there and in its notes."""

from __future__ import annotations

LIFECYCLE = "Xu (arXiv 2604.07380)"
SEEDS = (42, 137, 2024)
GROK_STEPS = {42: "600", 137: "1400", 2024: "1000"}
"""First evaluated step with test token accuracy ≥ .95, Dyck-1, ω = 1, by seed."""
SCAN_GROK = {42: "3000", 137: "4000", 2024: "2500"}
GRAD_SHARE = {300: "0.976", 600: "0.053", 1500: "0.995", 4000: "0.87"}
"""grad% of v₁ by step: Dyck-1, seed 42, ω = 1, N = 100, W = 5."""
SCAN_GRAD_SHARE = {1000: "0.887", 2500: "0.523", 5000: "0.002", 10000: "0.021"}
"""The same of SCAN, seed 2024, N = 500; the first is printed as `pre-grok`, the second stands in the notes only."""
G23 = {42: (50, "3.88", "0.0807", "48.05"), 137: (200, "11.3", "0.240", "47.22"), 2024: (200, "10.1", "2.23", "4.53")}
"""N, g₂₃ early, at the grok step, and their ratio, by seed: Dyck-1, ω = 1, W = 3."""
ABLATION = {200: "-0.40", 500: "-0.29", 1400: "-0.29", 3900: "-0.62"}
"""Change of accuracy without v₁ and v₂ by step: Dyck-1, seed 42, ω = 1."""
BULK = {500: "-0.34", 1400: "-0.03", 3900: "-0.13"}
"""The same without v₃ and v₄; the 0.00 at step 200 is of a window that has no such directions."""
ABLATION_SEEDS = {500: "-0.26", 3900: "-0.58"}
"""Mean over the three seeds."""
CURVATURE = {"grok": ("0.078", "0.001", "0.020", "0.068"), "memo": ("0.173", "0.987", "0.851", "1.838")}
"""vᵀ H v of v₁ … v₄ at step 3900 by condition, seed 42, by finite differences on the test loss."""
PATH = {"grok": {1: ("2.30", "5e-5"), 3: (".92", "3.5e-4"), 4: (".80", "2.1e-4")}, "memo": {1: (".15", "7.9e-4")}}
"""σ_k and |ΔL| at step 3900 by condition and k, seed 42."""
ROTATION = {"grok": ("17.8", "41.7", "51.6"), "memo": ("22.2", "43.7", "64.4")}
"""Mean rotation of v₁, v₂, v₃ between windows, degrees: Dyck-1, seed 42."""
STABILITY = ("0.77", "0.16")
"""α₁ and α₂ at step 600: Dyck-1, seed 42."""
PROBES = {200: ("0.965", "0.975", "0.975"), 600: ("0.981", "0.995", "0.993")}
"""R² of the linear, quadratic and MLP probe by step: Dyck-1, seed 42, ω = 1."""
PROBES_SEEDS = {500: ("0.982", "0.992"), 3900: ("0.862", "0.990")}
"""Mean R² over the three seeds of the linear and the MLP probe."""
MEMO_PROBE = "0.94"
"""Linear R² without weight decay, throughout."""
INTERVENTION = {
    0.0: ("0.973", "0.987", "2.15", "40.4"),
    0.5: ("0.972", "0.898", "2.26", "17.7"),
    1.0: ("0.982", "0.851", "2.27", "15.3"),
    2.0: ("0.985", "0.709", "2.28", "14.3"),
}
"""Accuracy, linear R², entropy and ‖θ‖ 3000 steps after ω was changed at step 1000, by ω; seed 42, moments reset."""
ELEVATION, ELEVATION_SEEDS = "5.2", "4.1"
"""Depth-Fourier elevation at step 500: seed 42, and the mean over the three seeds."""
FUNCTIONAL = "0.46"
"""R² of the change of hidden states along v₁ to depth at step 600."""
