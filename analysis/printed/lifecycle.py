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
CLASS_SHARES = {"Dyck-1": "0.87", "SCAN": "0.02"}
"""Late grad% of the class table; of modular arithmetic none is printed."""
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
PATH = {
    "grok": {1: ("2.30", "5e-5"), 3: (".92", "3.5e-4"), 4: (".80", "2.1e-4")},
    "memo": {1: (".15", "7.9e-4"), 3: (".03", "4.0e-3"), 4: (".01", "6.9e-3")},
}
"""σ_k and |ΔL| at step 3900 by condition and k, seed 42; a figure has 0.015 for the last."""
ROTATION = {"grok": ("17.8", "41.7", "51.6"), "memo": ("22.2", "43.7", "64.4")}
"""Mean rotation of v₁, v₂, v₃ between windows, degrees: Dyck-1, seed 42."""
STABILITY = ("0.77", "0.16")
"""α₁ and α₂ at step 600: Dyck-1, seed 42."""
PROBES = {200: ("0.965", "0.975", "0.975"), 600: ("0.981", "0.995", "0.993")}
"""R² of the linear, quadratic and MLP probe by step: Dyck-1, seed 42, ω = 1."""
PROBES_LATE = {2000: ("0.960", "0.976", "0.994"), 5000: ("0.667", "0.591", "0.988")}
"""The same, of the paper's 10 000 steps."""
PROBES_SEEDS = {500: ("0.982", "0.992"), 3900: ("0.862", "0.990")}
"""Mean R² over the three seeds of the linear and the MLP probe."""
ABLATION_SPREAD = {500: ".05", 3900: ".09"}
"""Population standard deviation over the three seeds of the cost of removing the edge."""
BULK_AT_200 = "0.00"
"""The bulk's cost at step 200, where the window has two changes and nothing is removed."""
MEMO_PROBE, MEMO_STEPS = "0.94", (500, 2000, 3900)
"""Linear R² without weight decay, throughout: here at these steps."""
INTERVENTION_MLP, ACCURACY_DROP = "0.99", "0.009"
"""R² of the MLP probe throughout the interventions, printed without a source; accuracy at ω = 1 less that at ω = 0."""
INTERVENTION = {
    0.0: ("0.973", "0.987", "2.15", "40.4"),
    0.5: ("0.972", "0.898", "2.26", "17.7"),
    1.0: ("0.982", "0.851", "2.27", "15.3"),
    2.0: ("0.985", "0.709", "2.28", "14.3"),
}
"""Accuracy, linear R², entropy and ‖θ‖ 3000 steps after ω was changed at step 1000, by ω; seed 42, moments reset."""
ELEVATION, ELEVATION_SEEDS = "5.2", "4.1"
"""Depth-Fourier elevation at step 500: seed 42, and the mean over the three seeds."""
FUNCTIONAL = {300: "0.61", 600: "0.46", 4000: "0.80"}
"""R² of the change of hidden states along v₁ to depth by step: Dyck-1, seed 42."""
FUNCTIONAL_G23 = {300: "7.1", 600: "1.7", 4000: "1.2"}
"""g₂₃ at these steps, N = 100, W = 5."""
SCAN_FUNCTIONAL = {2500: ".60", 5000: ".12", 10000: ".04"}
"""The same of SCAN's decoder, to the number of the action, seed 2024."""
SCAN_FUNCTIONAL_G23 = {2500: "26.3", 5000: "1.9", 10000: "0.6"}
"""g₂₃ there, N = 500; the 0 printed before these is of a window with two rows."""
G23_MEMO = {42: ("5.03", ".0262", "192"), 137: ("3.87", ".0257", "151"), 2024: ("3.88", ".178", "21.8")}
"""g₂₃ early, at the end of 10 000 steps, and their ratio, by seed: Dyck-1, ω = 0, N = 500, W = 3."""
G23_RATIOS = {42: ("3.70", "4.12"), 137: ("2.43", "2.26"), 2024: ("2.48", "2.66")}
"""σ₁ / σ₂ early and at the grok step by seed: Dyck-1, ω = 1."""
G23_MONOTONE = {42: False, 137: True, 2024: True}
"""Whether g₂₃ falls all the way: Dyck-1, ω = 1."""
SCAN_G23 = {
    ("grok", 42): (500, "27.7", "0.555", "49.94"),
    ("grok", 137): (500, "26.6", "0.858", "30.98"),
    ("grok", 2024): (100, "8.21", "0.166", "49.52"),
    ("memo", 42): (500, "1.90", "3.7e-4", "5152"),
    ("memo", 137): (500, "1.78", "6.2e-4", "2874"),
    ("memo", 2024): (500, "1.86", "4.6e-4", "4083"),
}
"""N, g₂₃ early, at the grok step or the end, and their ratio, by condition and seed: SCAN, W = 5."""
SCAN_G23_RATIOS = {42: ("4.81", "6.42"), 137: ("4.56", "4.95"), 2024: ("6.39", "2.53")}
"""σ₁ / σ₂ early and at the grok step by seed: SCAN, ω = 1."""
MEAN_COMPRESSION = {"Dyck-1": "33", "SCAN": "43"}
"""Means of the ratios over the runs that grok; those of SCAN are 43.5 by its own table."""
SIGNS = {1: 1, 3: -1, 4: -1}
"""Of ⟨A, v_k⟩⟨D, v_k⟩ at the grok step by k, 1 where the two are aligned: Dyck-1 and SCAN."""
FACTOR = "4000"
"""Cost of the edge over that of a random plane, at least."""
LARGEST_KL = {200: "6e-5", 3900: "5e-5"}
"""Largest KL of 25 displacements up to ± 0.03 along v₁ by step: Dyck-1, seed 42."""
SCAN_ABLATION = {"grok": "-0.49", "memo": "-0.03"}
SCAN_CURVATURE = {("grok", 1): "0.001", ("memo", 3): "1.83"}
SCAN_ROTATION = {"grok": ("7.7", "20.6", "43.0"), "memo": ("28.8", "50.8", "83.8")}
LARGEST_RATIO = {"SCAN": "12.4", "Dyck-1, W_Q": "3187"}
"""Largest σ₁ / σ₂ of a run."""
LAYERS = {
    "grok": {"embedding": (".247", ".243"), "layer0": (".899", ".832"), "layer1": (".956", ".718")},
    "memo": {"layer1": (".932", ".941")},
}
"""Linear R² by condition and layer, early and late: Dyck-1, seed 42."""
LAYER_0_AT_100 = "0.85"
"""Linear R² of layer 0 at step 100 is above it."""
GEOMETRY = {
    "linear R², fitted and scored on the same tokens": ("before/linear_raw/same", "0.714", "0.946"),
    "linear R² to the token": ("sign/linear_raw/token", ".295", ".992"),
    "step of the centroids": ("centroid_step", ".21", "30.95"),
    "share of their leading direction": ("centroid_first", ".34", ".81"),
}
"""Name in the anatomy, with and without decay, late: Dyck-1, seed 42."""
POSITIONS = {"grok": ("12", ".281", ".541"), "memo": ("0", ".771", ".917")}
"""Leading frequency over places of layer 1, its share and that of three, late: Dyck-1."""
CENTROID_FACTOR = "150"
"""How many times as far the centroids are apart without decay."""
LEAST_COUNTING = ".09"
"""Smallest KL of a head of layer 0 to even attention without decay, late: Dyck-1."""
SCAN_POSITIONS = {"grok": ("1", ".258", ".615"), "memo": ("0", ".217", ".591")}
"""The same of SCAN's encoder; another note has .787 for the share without decay."""
COUNTING = {"grok": ("0.00", "2.28"), "memo": ("1.02", "1.02")}
"""Largest KL of a head of layer 0 to even attention, and least entropy of a head, late: Dyck-1."""
SCAN_ENTROPY = {"encoder": ("1.84", "1.41"), "layer": ("2.23", "2.07"), "cross": ("1.87", ".97")}
"""Entropy of encoder, decoder and cross attention with and without decay."""
SCAN_PROBES = {
    "decoder to the action": ("before/linear_raw/token", ".917", ".960"),
    "encoder to the verb": ("verb/logistic_standardised/sample", "1.000", ".995"),
    "encoder to the direction": ("direction/logistic_standardised/sample", "1.000", ".998"),
    "encoder to the repetition": ("repetition/logistic_standardised/sample", "1.000", ".998"),
}
"""Name in the anatomy, with and without decay; of the last three without decay .995 to .998 is printed."""
