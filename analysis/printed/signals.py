"""Numbers of the papers on signals, as printed there or told by their authors; the preregistration names each margin."""

from __future__ import annotations

ENTROPY_LEVEL = 0.609
"""Of the normalised spectral entropy, crossed before grokking in 10 of 10 runs. Truong et al. (arXiv 2604.13123)."""
DMD_RUN_AUROC, DMD_WINDOW_AUROC = 0.41, 0.93
"""Of the Hankel-DMD residual's largest value of a run, and of its windows. Wang et al. (arXiv 2605.08237)."""
LAR_START = 0.5
"""Of independent entries. Shehper and Vaswani (arXiv 2605.28975)."""
NORM_PEAK_SHARE, TANH_R_SQUARED = 0.92, 0.93
"""Of 111 runs with a peak of the norm before grokking; R² of the tanh fit. Khanh (arXiv 2606.07563)."""
LOGIT_R_SQUARED = 0.97
"""Of ln T_grok against the logit scale, over cells. Khanh (arXiv 2606.18465)."""
CLAMP_ALPHA, CLAMP_BY_NORM, CLAMP_BY_RATE = 7.5, 19.0, 2.0
"""T_grok ∝ exp(α ρ); factor of T_grok over the norms and over the rates. Truong et al. (arXiv 2606.13753)."""
CLAMP_CRITICAL = {29: 42.0, 41: 48.0, 59: 55.0, 71: 58.73, 79: 61.0, 97: 67.0}
"""‖W‖ at a test accuracy of 0.90 of a free run, by p. The same."""
PASSAGE_ERROR, PASSAGE_KAPPA, PASSAGE_TARGET = 0.177, 0.252, 2501.0
"""Mean absolute error as a share on 26 held-out runs; κ; V* at p = 97. Truong et al. (arXiv 2605.18845)."""
ARRHENIUS_R_SQUARED = 0.991
"""Of ln τ against B/lr. Ersoy and Wiesner (arXiv 2606.17120)."""
GINI_RIGHT, GINI_WRONG, TUNED_SHARE = 0.58, 0.07, 0.969
"""Gini of the embedding over the characters of the task's group and of the other; tuned neurons. Nguyen (arXiv 2606.17399)."""
CRITICAL_SHARE = {71: 0.415, 97: 0.385, 127: 0.350}
"""Of the pairs, by modulus. The benchmark's `li2_scaling_law`, of Tian (arXiv 2509.21519), Theorem 4.

Only modulus 71 is trained here, by the study `signals-share`: the shares at 97 and 127 are judged by no claim.
"""
