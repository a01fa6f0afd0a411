/* Labelled data and preprocessing: one meaning everywhere (run, eval, train, compress, verify,
 * bench). */
#ifndef PARE_DATA_H
#define PARE_DATA_H

#include "pare/model.h"

PARE_BEGIN

/** From a picture to a network input. In this order: decode to 0-255 RGB; `resize` (bilinear),
 * `crop` (centre); then channel order, (x - mean) * scale per channel, layout. */
typedef struct pare_preprocess {
    int n_mean, n_scale; /**< 0: none; 1: for all channels; else one for each */
    float mean[4], scale[4];
    bool bgr;  /**< channels as B, G, R */
    bool nhwc; /**< [N,H,W,C] instead of [N,C,H,W] */
    int skip;  /**< outputs to drop before comparing with labels (a background class) */
    int resize_w, resize_h; /**< 0: as the rule of pare_preprocess_fit() says */
    int crop_w, crop_h;     /**< 0: none */
} pare_preprocess;

/** Reads FILE.json or FILE.json:NAME: an object with keys mean, scale (number or list), order
 * ("RGB"/"BGR"), layout
 * ("NCHW"/"NHWC"), skip, resize, crop ([W,H]); with NAME, the member NAME of the file's object.
 * Other keys are ignored.
 * @retval PARE_EINVAL  no such name; a value of the wrong kind */
PARE_API PARE_NODISCARD pare_status pare_preprocess_load(const char *spec, pare_preprocess *out);
/** From a model's metadata (key "pare.preprocess", the same JSON); PARE_OK and *found false if it
 * has none. */
PARE_API PARE_NODISCARD pare_status pare_preprocess_from_model(const pare_graph *graph,
                                                               pare_preprocess *out, bool *found);
/** Stores it in the model's metadata. */
PARE_API PARE_NODISCARD pare_status pare_preprocess_to_model(const pare_preprocess *pp,
                                                             pare_graph *graph);

/** A labelled data set, opened for reading. Reading is safe from several threads. */
typedef struct pare_dataset pare_dataset;

/** Which part of a set. */
typedef enum pare_split { PARE_TEST, PARE_TRAIN } pare_split;

/** Opens cifar10:DIR, mnist:DIR (IDX, plain or .gz), npy:X.npy,Y.npy, images:DIR[,LABELS.csv] or
 * glyphs[:seed=N,train=N,test=N]. npy and images have one part, which serves as both splits unless
 * a second pair follows (npy:X,Y,XTRAIN,YTRAIN) or DIR has folders train and test (or val). Checks
 * sizes and labels at once.
 * @retval PARE_EINVAL  the specification is not of one of these forms
 * @retval PARE_EIO     a file is missing or short
 * @retval PARE_EFORMAT a file is not what it should be; labels and images differ in number */
PARE_API PARE_NODISCARD pare_status pare_dataset_open(const char *spec, pare_split split,
                                                      pare_dataset **out);
PARE_API void pare_dataset_free(pare_dataset *d); /**< Closes a data set; fine on NULL. */

/** What a set holds. Strings belong to the set. */
typedef struct pare_dataset_info {
    const char *name;
    int64_t count;               /**< samples */
    int classes;                 /**< labels are 0 .. classes-1 */
    int channels, height, width; /**< of one sample; height and width 0 when they differ */
    bool pixels; /**< samples are 0-255 pictures (false: arbitrary floats of an .npy) */
} pare_dataset_info;
PARE_API void pare_dataset_about(const pare_dataset *d,
                                 pare_dataset_info *out);          /**< describes a set */
PARE_API int pare_dataset_label(const pare_dataset *d, int64_t i); /**< label of sample i */
/** Name of a class; NULL if the set has no names. Belongs to the set. */
PARE_API const char *pare_dataset_class(const pare_dataset *d, int label);

/** Changes to a training sample, drawn from a stream keyed by (seed, epoch, sample): the same for
 * any thread count. */
typedef struct pare_augment {
    int pad;   /**< random crop after padding this many pixels with zeros (after normalisation) */
    bool flip; /**< mirror left-right with probability 1/2 */
    uint64_t seed;
    int64_t epoch;
} pare_augment;

/** Fills `out` (float32 [n,C,H,W] or [n,H,W,C], allocated by the caller for the network's input
 * shape) with samples index[0..n). Pictures whose size is not the input's are fitted: resize and
 * crop as stated; without a statement the middle t x t when t <= side < 1.1 t, else a bilinear
 * resize to the input's size.
 * @param pp       NULL for none: 0-255, RGB, [N,C,H,W]
 * @param out      its first dimension may exceed n; other types than float32 are rounded and
 * saturated
 * @param augment  NULL for none
 * @param label    receives n labels; may be NULL
 * @retval PARE_EFORMAT  a picture is damaged (named), or channels do not match the input (both
 * numbers)
 * @retval PARE_EIO      a picture cannot be read */
PARE_API PARE_NODISCARD pare_status pare_dataset_batch(const pare_dataset *d,
                                                       const pare_preprocess *pp,
                                                       const int64_t *index, int64_t n,
                                                       const pare_augment *augment,
                                                       pare_tensor *out, int *label);

/** Decodes a JPEG or PNG into a network input of type `type` ([1,C,H,W] or [1,H,W,C], 1 or 3
 * channels); `out` is yours to free. Free dimensions take what the picture has after the stated
 * resize and crop. pp: NULL for none.
 * @retval PARE_EFORMAT  the picture is damaged, or is neither JPEG nor PNG
 * @retval PARE_ELIMIT   it has more pixels or scans than are decoded */
PARE_API PARE_NODISCARD pare_status pare_image_load(const char *path, const pare_preprocess *pp,
                                                    const pare_type *type, pare_tensor *out);

/** Reads a NumPy .npy file (versions 1-3; C order; little endian). Yours to pare_tensor_free(). */
PARE_API PARE_NODISCARD pare_status pare_npy_load(const char *path, pare_tensor *out);
/** Writes a NumPy .npy file, complete or not at all. */
PARE_API PARE_NODISCARD pare_status pare_npy_save(const pare_tensor *t, const char *path,
                                                  bool force);

/** Downloads cifar10, mnist or fashion-mnist from its official address into `dir`, resuming,
 * checked by SHA-256.
 * @param base_url  NULL for the official address; else where the same files lie (tests, mirrors) */
PARE_API PARE_NODISCARD pare_status pare_data_get(const char *name, const char *dir,
                                                  const char *base_url,
                                                  const pare_progress *progress);

PARE_END
#endif
