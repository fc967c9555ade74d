"""Several structures in one stack: which image shows which, and a reconstruction of each.

A half-set is first explored as if it showed one structure. At the poses found, its images are
split into classes (`split`), whose maps then start a joint search over poses and classes
(`explore.patience`). Classes of the two half-sets, which never saw each other, are paired by
their maps (`pairing`) and refined side by side (`refinement`); what does not differ alike in both
is one class (`distinct`). `solve` does all of this.
"""
