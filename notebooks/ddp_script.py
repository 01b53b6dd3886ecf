"""The appendix's training on several GPUs (A.9), its gaps filled: only the imports name the library.

Without GPUs it trains in CPU processes, two unless a number is given. It is a script, since a
notebook cannot host the processes that it starts:

    python notebooks/ddp_script.py 4
    python -m numgrad.run --nproc-per-node 2 notebooks/ddp_script.py
    mpiexec -n 2 python notebooks/ddp_script.py
"""

import os
import sys

import numgrad as torch
import numgrad.multiprocessing as mp
import numgrad.nn.functional as F
from numgrad.distributed import destroy_process_group, get_rank, init_process_group
from numgrad.nn.parallel import DistributedDataParallel as DDP
from numgrad.utils.data import DataLoader, Dataset
from numgrad.utils.data.distributed import DistributedSampler

on_gpus = torch.cuda.is_available()


def ddp_setup(rank, world_size):
    """Connect this process with the others."""
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", "12345")
    init_process_group(
        backend="nccl" if on_gpus else "gloo",
        rank=rank,
        world_size=world_size,
    )
    if on_gpus:
        torch.cuda.set_device(rank)


class ToyDataset(Dataset):
    def __init__(self, X, y):
        self.features = X
        self.labels = y

    def __getitem__(self, index):
        return self.features[index], self.labels[index]

    def __len__(self):
        return self.labels.shape[0]


class NeuralNetwork(torch.nn.Module):
    def __init__(self, num_inputs, num_outputs):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(num_inputs, 30),
            torch.nn.ReLU(),
            torch.nn.Linear(30, 20),
            torch.nn.ReLU(),
            torch.nn.Linear(20, num_outputs),
        )

    def forward(self, x):
        return self.layers(x)


def prepare_dataset():
    X_train = torch.tensor([[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]])
    y_train = torch.tensor([0, 0, 0, 1, 1])
    X_test = torch.tensor([[-0.8, 2.8], [2.6, -1.6]])
    y_test = torch.tensor([0, 1])
    train_ds = ToyDataset(X_train, y_train)
    test_ds = ToyDataset(X_test, y_test)
    train_loader = DataLoader(
        dataset=train_ds,
        batch_size=2,
        shuffle=False,
        pin_memory=on_gpus,
        drop_last=True,
        # this ensures each process receives different data subsample
        sampler=DistributedSampler(train_ds),
    )
    test_loader = DataLoader(dataset=test_ds, batch_size=2, shuffle=False)
    return train_loader, test_loader


def compute_accuracy(model, loader, device):
    model.eval()
    correct, total = 0.0, 0
    for features, labels in loader:
        features, labels = features.to(device), labels.to(device)
        with torch.no_grad():
            logits = model(features)
        predictions = torch.argmax(logits, dim=1)
        correct += torch.sum(labels == predictions).item()
        total += len(labels)
    return correct / total if total else float("nan")


def main(rank, world_size, num_epochs):
    torch.manual_seed(123)
    ddp_setup(rank, world_size)
    rank, device = get_rank(), torch.device("cuda", get_rank()) if on_gpus else "cpu"
    train_loader, test_loader = prepare_dataset()
    model = NeuralNetwork(num_inputs=2, num_outputs=2)
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    # Wrap the model in DDP to enable gradient synchronization
    model = DDP(model, device_ids=[rank] if on_gpus else None)
    for epoch in range(num_epochs):
        # Set a new order for this epoch
        train_loader.sampler.set_epoch(epoch)
        model.train()
        for features, labels in train_loader:
            features, labels = features.to(device), labels.to(device)
            logits = model(features)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(
                f"[GPU{rank}] Epoch: {epoch + 1:03d}/{num_epochs:03d}"
                f" | Batchsize {labels.shape[0]:03d}"
                f" | Train/Val Loss: {loss:.2f}"
            )
    model.eval()
    train_acc = compute_accuracy(model, train_loader, device=device)
    print(f"[GPU{rank}] Training accuracy", train_acc)
    test_acc = compute_accuracy(model, test_loader, device=device)
    print(f"[GPU{rank}] Test accuracy", test_acc)
    # exit distributed training, free up resources
    destroy_process_group()


if __name__ == "__main__":
    num_epochs = 3
    if {"RANK", "PMI_RANK", "PMIX_RANK"} & set(os.environ):  # numgrad.run, mpiexec or Slurm
        main(-1, -1, num_epochs)  # the rank is known already
    else:
        print("Number of GPUs available:", torch.cuda.device_count())
        world_size = torch.cuda.device_count() or int(sys.argv[1] if len(sys.argv) > 1 else 2)
        mp.spawn(main, args=(world_size, num_epochs), nprocs=world_size)
