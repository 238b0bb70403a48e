"""What is installed: `grok`, and inside it `analysis` and `entry_points`, whose names are likely to be somebody else's too."""

from setuptools import find_packages, setup

BESIDE = ("analysis", "entry_points")
INSIDE = "grok._installed"

setup(
    packages=[
        *find_packages(include=["grok", "grok.*"]),
        *(f"{INSIDE}.{name}" for name in find_packages(include=[one for top in BESIDE for one in (top, f"{top}.*")])),
    ],
    package_dir={f"{INSIDE}.{name}": name for name in BESIDE},
)
