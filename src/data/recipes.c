/* Where the public data sets lie, and what their files must be. */
#include "data/get.h"

#include "pare/data.h"

#include <string.h>

#define MIB (1u << 20)

static const pare_member cifar10_members[] = {
    { "cifar-10-batches-bin/data_batch_1.bin", 30730000,
      "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5" },
    { "cifar-10-batches-bin/data_batch_2.bin", 30730000,
      "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed" },
    { "cifar-10-batches-bin/data_batch_3.bin", 30730000,
      "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67" },
    { "cifar-10-batches-bin/data_batch_4.bin", 30730000,
      "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48" },
    { "cifar-10-batches-bin/data_batch_5.bin", 30730000,
      "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add" },
    { "cifar-10-batches-bin/test_batch.bin", 30730000,
      "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b" },
    { "cifar-10-batches-bin/batches.meta.txt", MIB, NULL },
    { NULL, 0, NULL },
};
static const pare_remote_file cifar10_files[] = {
    { "cifar-10-binary.tar.gz", 170052171,
      "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", cifar10_members },
    { NULL, 0, NULL, NULL },
};

static const pare_remote_file mnist_files[] = {
    { "train-images-idx3-ubyte.gz", 9912422,
      "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", NULL },
    { "train-labels-idx1-ubyte.gz", 28881,
      "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", NULL },
    { "t10k-images-idx3-ubyte.gz", 1648877,
      "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", NULL },
    { "t10k-labels-idx1-ubyte.gz", 4542,
      "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", NULL },
    { NULL, 0, NULL, NULL },
};

static const pare_remote_file fashion_files[] = {
    { "train-images-idx3-ubyte.gz", 26421880,
      "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", NULL },
    { "train-labels-idx1-ubyte.gz", 29515,
      "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", NULL },
    { "t10k-images-idx3-ubyte.gz", 4422102,
      "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", NULL },
    { "t10k-labels-idx1-ubyte.gz", 5148,
      "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", NULL },
    { NULL, 0, NULL, NULL },
};

/* MNIST's first home no longer serves the files; CVDF keeps the copies that the large frameworks
 * use. Fashion-MNIST comes from its authors' repository, which has https. */
static const pare_remote remotes[] = {
    { "cifar10", "https://www.cs.toronto.edu/~kriz", cifar10_files },
    { "mnist", "https://storage.googleapis.com/cvdf-datasets/mnist", mnist_files },
    { "fashion-mnist",
      "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
      fashion_files },
};

pare_status pare_data_get(const char *name, const char *dir, const char *base_url,
                          const pare_progress *progress)
{
    for (size_t i = 0; i < sizeof remotes / sizeof *remotes; i++)
        if (strcmp(remotes[i].name, name) == 0)
            return pare_get(&remotes[i], dir, base_url, progress);
    return pare_fail(PARE_EINVAL, "'%.100s' is none of cifar10, mnist, fashion-mnist", name);
}
