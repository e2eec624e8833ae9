"""THE index of what there is: name -> lazily imported object, one line, paper, licence.

The command line's choices, `nucleosynth list`, the README's table and the contract tests all derive from here. To add a
data set, method or format: one file, and one line below; a metric: its line is in entries.py. Nothing here imports
anything until it is asked for.
"""

from typing import Any, Literal

from nucleosynth.entries import METRICS, Entry
from nucleosynth.errors import unknown_name

Kind = Literal[
    "verb",
    "data set",
    "class scheme",
    "format",
    "method",
    "part",
    "encoder",
    "text encoder",
    "clip",
    "pretrained model",
    "judge",
    "metric",
]


CATALOG: dict[Kind, tuple[Entry, ...]] = {
    "verb": (
        Entry("demo", "verbs.demo:demo", "the whole street on drawn tissue, offline: pairs, judges, report"),
        Entry("list", "verbs.list:list", "what there is: methods, data sets, formats, metrics"),
        Entry(
            "inspect",
            "verbs.inspect:inspect",
            "images, nuclei, classes, sizes, stain, tiles that are there twice; a contact sheet",
        ),
        Entry("validate", "verbs.validate:validate", "every problem of the data, and how to mend it"),
        Entry("convert", "verbs.convert:convert", "data of any kind into a store or another format"),
        Entry("tiles", "verbs.tiles:tiles", "windows of one size at one resolution, cut from tiles of any"),
        Entry(
            "subset",
            "verbs.subset:subset",
            "the windows that hold a share of the labelled nuclei, by clusters or drawn",
        ),
        Entry("captions", "verbs.captions:captions", "what each tile shows, in a sentence; your own go first"),
        Entry("fit", "verbs.fit:fit", "train a method on labelled tiles"),
        Entry("distil", "verbs.distil:distil", "teach a student of few steps what a trained run makes in many"),
        Entry("generate", "verbs.generate:generate", "make pairs, or the missing side of given points, labels, images"),
        Entry("layouts fit", "verbs.layouts:fit", "the points of training tiles as a library of layouts"),
        Entry("layouts sample", "verbs.layouts:sample", "new layouts from a library, for `generate --points`"),
        Entry("segment fit", "verbs.segment:fit", "train a judge, the network that finds nuclei, on labelled tiles"),
        Entry("segment predict", "verbs.segment:predict", "the nuclei that a judge or released weights see in tiles"),
        Entry("score", "verbs.score:score", "compare predicted with true nuclei"),
        Entry(
            "compare",
            "verbs.compare:compare",
            "how far synthetic tiles lie from real ones: FID, KID, precision, recall and more",
        ),
        Entry("study", "verbs.study:study", "what synthetic data are worth: judges trained with and without"),
        Entry("cost", "verbs.cost:cost", "parameters and FLOPs of a method, counted"),
    ),
    "data set": (
        Entry(
            "consep",
            "data.consep:read",
            "CoNSeP: 41 H&E tiles of colon, 1000^2 at 40x, 7 classes",
            "Graham et al., HoVer-Net, Medical Image Analysis 2019",
            "cite the paper",
        ),
        Entry(
            "dsb2018",
            "data.dsb2018:read",
            "DSB2018, stage 1: the coloured tiles of many microscopes, no classes",
            "Caicedo et al., Nucleus segmentation across imaging experiments, Nature Methods 2019",
            "CC0-1.0",
        ),
        Entry(
            "endonuke",
            "data.endonuke:read",
            "EndoNuke: 1780 IHC tiles of endometrium, nuclei as points of 3 classes; masks are derived",
            "Naumov et al., EndoNuke, Data 2022",
            "CC BY 4.0",
        ),
        Entry(
            "kumar",
            "data.kumar:read",
            "Kumar: 30 H&E tiles of 7 organs, 1000^2 at 40x, no classes; MoNuSeg's training tiles",
            "Kumar et al., A dataset and a technique for generalized nuclear segmentation, IEEE TMI 2017",
            "cite the paper",
        ),
        Entry(
            "lizard",
            "data.lizard:read",
            "Lizard: 238 H&E images of colon at 20x, 6 classes",
            "Graham et al., Lizard, ICCV workshops 2021",
            "CC BY-NC-SA 4.0",
        ),
        Entry(
            "monuseg",
            "data.monuseg:read",
            "MoNuSeg 2018: 30 (37) and 14 H&E tiles of 9 organs, 1000^2 at 40x, no classes",
            "Kumar et al., A multi-organ nucleus segmentation challenge, IEEE TMI 2020",
            "CC BY-NC-SA 4.0",
        ),
        Entry(
            "nuinsseg",
            "data.nuinsseg:read",
            "NuInsSeg: 665 H&E tiles of 31 human and mouse organs, 512^2, no classes",
            "Mahbod et al., NuInsSeg, Scientific Data 2024",
            "CC BY 4.0",
        ),
        Entry(
            "pannuke",
            "data.pannuke:read",
            "PanNuke: 7901 H&E tiles of 19 tissues, 256^2 at 40x, 5 classes, 3 folds; arrays or Parquet files",
            "Gamper et al., PanNuke Dataset Extension, Insights and Baselines, arXiv:2003.10778",
            "CC BY-NC-SA 4.0",
        ),
        Entry(
            "puma",
            "data.puma:read",
            "PUMA: 206 H&E regions of melanoma, 1024^2 at .23 um, 10 classes",
            "Schuiveling et al., PUMA, GigaScience 2025",
            "CC0-1.0",
        ),
        Entry(
            "folder", "data.folder:read", "your own: images/*.png, labels/*.png|tif|npy, classes/*.npy or classes.csv"
        ),
        Entry(
            "geojson", "formats.geojson:read", "QuPath: images/*.png, labels/*.geojson, outlines with classifications"
        ),
        Entry("coco", "formats.coco:read", "COCO: images and annotations.json, polygons and run lengths"),
        Entry("hovernet", "formats.hovernet:read", "HoVer-Net: images/*.png, labels/*.mat or *.npy, or its patches"),
        Entry("csv", "formats.nuclei_csv:read", "a table of nuclei beside images/*.png: class, centre, outline as WKT"),
        Entry(
            "phantom", "data.phantom:read", "drawn H&E tissue with exact labels; the embedded default", "", "CC0-1.0"
        ),
        Entry("store", "data.store:read", "a Parquet store written by this program"),
    ),
    "class scheme": (
        Entry(
            "consep4",
            "data.schemes:CONSEP4",
            "CoNSeP as it is scored: other, inflammatory, epithelial, spindle",
            "Graham et al., HoVer-Net, Medical Image Analysis 2019",
        ),
        Entry(
            "consep-daff",
            "data.schemes:CONSEP_DAFF",
            "CoNSeP as DAFF-GAN's text reads: epithelial, inflammatory, spindle, muscle; other is of unknown type",
            "Cheng et al., DAFF-GAN",
        ),
        Entry("puma3", "data.schemes:PUMA3", "PUMA's first track: tumor, TIL (lymphocyte, plasma cell), other"),
        Entry("pannuke", "data.schemes:PANNUKE", "PanNuke's five classes, in its order"),
        Entry("lizard", "data.schemes:LIZARD", "Lizard's six classes, in its order"),
        Entry("binary", "data.schemes:BINARY", "every nucleus is a nucleus"),
    ),
    "format": (
        Entry("store", "data.store:write", "Parquet shards that datasets, DuckDB, pandas and Ray read as they are"),
        Entry("folder", "formats.folder:write", "images/*.png, labels/*.png (16 bit), classes/*.npy"),
        Entry("tiff", "formats.folder:write_tiff", "the same with labels/*.tif (32 bit)"),
        Entry("geojson", "formats.geojson:write", "QuPath: labels/*.geojson, nuclei as detections"),
        Entry("geojson-annotations", "formats.geojson:write_annotations", "the same, nuclei as annotations to correct"),
        Entry("coco", "formats.coco:write", "COCO: annotations.json, polygons; run lengths for nuclei with holes"),
        Entry("coco-rle", "formats.coco:write_rle", "COCO: annotations.json, compressed run lengths alone"),
        Entry("hovernet", "formats.hovernet:write", "HoVer-Net: labels/*.mat with inst_map, inst_type and the rest"),
        Entry("hovernet-npy", "formats.hovernet:write_npy", "HoVer-Net: labels/*.npy (h, w, 2), ids and types"),
        Entry("csv", "formats.nuclei_csv:write", "nuclei.csv, one table of all nuclei, outlines as WKT"),
        Entry("pannuke", "formats.pannuke:write", "PanNuke: images.npy, types.npy, masks.npy of one fold"),
    ),
    "method": (
        Entry(
            "jointflow",
            "methods.jointflow:JointFlow",
            "one flow over image and label: every direction, few steps",
            "nucleosynth",
            "Apache-2.0",
        ),
        Entry(
            "nudiff",
            "methods.nudiff:NuDiff",
            "nuclei from nothing by one diffusion, an image painted for them by another",
            "Yu et al., Diffusion-based data augmentation for nuclei image segmentation, MICCAI 2023",
            "Apache-2.0",
        ),
        Entry(
            "sdm",
            "methods.sdm:SDM",
            "an image painted for a label: diffusion, classes and instance edges in its decoder",
            "Wang et al., Semantic image synthesis via diffusion models, arXiv:2207.00050",
            "Apache-2.0",
        ),
        Entry(
            "diffmix",
            "methods.diffmix:DiffMix",
            "real labels with rare classes made frequent, painted anew from their perturbed images",
            "Oh and Jeong, DiffMix, MICCAI 2023",
            "Apache-2.0",
        ),
        Entry(
            "cosyn",
            "methods.cosyn:CoSyn",
            "image, distance map and label by one diffusion, from points and a caption; gcdp: from a caption",
            "Min et al., CoSyn, ECCV 2024; Park et al., GCDP, ICCV 2023",
            "Apache-2.0",
        ),
        Entry(
            "pix2pixhd",
            "methods.pix2pixhd:Pix2PixHD",
            "an image painted for a label in one pass, judged by patches; noise gives a label many images",
            "Wang et al., High-resolution image synthesis and semantic manipulation, CVPR 2018",
            "Apache-2.0",
        ),
        Entry(
            "daff_gan",
            "methods.daff_gan:DaffGan",
            "random layouts of points made masks, masks made images, by pix2pixHD with criss-cross attention",
            "Cheng et al., Deep adversarial image synthesis for nuclei segmentation of histopathology image (DAFF-GAN)",
            "Apache-2.0",
        ),
        Entry(
            "spade",
            "methods.spade:Spade",
            "an image painted for a label in one pass, which modulates every norm; a style for each sample",
            "Park et al., Semantic image synthesis with spatially-adaptive normalization, CVPR 2019",
            "Apache-2.0",
        ),
        Entry(
            "cgpn_gan",
            "methods.cgpn_gan:CGPNGAN",
            "an image for a label and a sentence in one pass, judged by patches and through CLIP",
            "Zhang et al., CGPN-GAN, Medical Image Analysis 2025",
            "Apache-2.0",
        ),
    ),
    "part": (
        Entry(
            "clip",
            "methods.clip:OwnClip",
            "a small CLIP of the data's own tiles and captions, by `fit clip`; then it is own:RUN",
            "Radford et al., Learning transferable visual models, ICML 2021",
            "Apache-2.0",
        ),
    ),
    "encoder": (
        Entry(
            "texture",
            "encoders.texture:load",
            "stain, gradients and layout of a tile; no weights; the embedded default",
        ),
        Entry(
            "resnet50",
            "encoders.torchvision:load_resnet50",
            "pooled features of ResNet-50 trained on ImageNet; cached, a file, or resnet50:download",
            "He et al., Deep residual learning, CVPR 2016",
            "BSD-3-Clause",
        ),
        Entry(
            "inception",
            "encoders.inception:load",
            "Inception-v3 of FID and IS: torch-fidelity's weights, cached, a file, or inception:download",
            "Szegedy et al., Rethinking the Inception architecture, CVPR 2016",
            "Apache-2.0",
        ),
        Entry(
            "clip",
            "encoders.clip:load",
            "image tower of a CLIP: clip:FOLDER, clip:MODEL:FILE, or clip:OWNER/NAME of the hub's cache",
            "Radford et al., Learning transferable visual models, ICML 2021",
        ),
        Entry(
            "timm",
            "encoders.timm:load",
            "any architecture of timm with the weights of a file: timm:ARCHITECTURE:FILE",
            "Wightman, PyTorch Image Models, 2019",
        ),
        Entry(
            "torchvision",
            "encoders.torchvision:load",
            "any classifier of torchvision: torchvision:ARCHITECTURE[:FILE or download]",
        ),
        Entry("onnx", "encoders.onnx:load", "a network in an ONNX file, its normalisation in FILE.json: onnx:FILE"),
    ),
    "text encoder": (
        Entry(
            "words",
            "encoders.words:load",
            "a small transformer over hashed words, trained with the model; the embedded default",
        ),
        Entry(
            "plip",
            "encoders.clip_text:load_plip",
            "text tower of PLIP (vinid/plip): plip of the hub's cache, plip:FOLDER, or plip:download",
            "Huang et al., A visual-language foundation model for pathology, Nature Medicine 2023",
        ),
        Entry(
            "clip-text",
            "encoders.clip_text:load",
            "text tower of a CLIP: clip-text:FOLDER, or clip-text:OWNER/NAME[:download]",
            "Radford et al., Learning transferable visual models, ICML 2021",
        ),
        Entry(
            "t5",
            "encoders.t5:load",
            "encoder of a T5: t5:FOLDER, or t5:OWNER/NAME[:download]",
            "Raffel et al., Exploring the limits of transfer learning, JMLR 2020",
        ),
    ),
    "clip": (
        Entry("own", "encoders.own_clip:load", "the small CLIP of a run of `fit clip`: own:RUN; the embedded default"),
        Entry(
            "open_clip",
            "encoders.open_clip_pair:load",
            "both towers of a CLIP: open_clip:FOLDER, open_clip:MODEL:FILE, or open_clip:OWNER/NAME[:download]",
            "Radford et al., Learning transferable visual models, ICML 2021",
        ),
        Entry(
            "quiltnet",
            "encoders.open_clip_pair:load_quiltnet",
            "QuiltNet-B-32, of pathology: quiltnet of the hub's cache, quiltnet:FOLDER, or quiltnet:download",
            "Ikezogwu et al., Quilt-1M, NeurIPS 2023",
            "MIT",
        ),
    ),
    "pretrained model": (
        Entry(
            "he-tiny",
            "pretrained:HE_TINY",
            "JointFlow, preset tiny, of H&E and drawn tissue, one class: 64^2 px at .5 um; pretrained:he-tiny is a run",
            "Amgad et al., NuCLS, GigaScience 2022; Schuiveling et al., PUMA, GigaScience 2025; DSB2018, see above",
            "CC0-1.0",
        ),
    ),
    "judge": (
        Entry(
            "hovernet",
            "segmentation.hovernet:HoVerNet",
            "simultaneous segmentation and classification of nuclei: resnet50 (published), released, resnet34, tiny",
            "Graham et al., HoVer-Net, Medical Image Analysis 2019",
            "Apache-2.0",
        ),
    ),
    "metric": METRICS,
}


def find(kind: Kind, name: str) -> Entry:
    """The entry of that name.

    Raises:
        UserError: no such name; the message gives the nearest one.
    """
    for entry in CATALOG[kind]:
        if entry.name == name:
            return entry
    raise unknown_name(kind, name, (entry.name for entry in CATALOG[kind]))


def load(kind: Kind, name: str) -> Any:
    """Import and return the object of that name."""
    return find(kind, name).load()


def markdown() -> str:
    """The catalog as the README's table (verbs apart)."""
    rows = ["| | name | what | paper |", "|---|---|---|---|"]
    for kind, entries in CATALOG.items():
        if kind != "verb":
            rows += [
                f"| {kind} | `{entry.name}` | {entry.line.replace('|', ', ')} | {entry.paper} |" for entry in entries
            ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown())
