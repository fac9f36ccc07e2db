import torch
from torch.nn.functional import pad


def learn_rotation(X, Y, reg=100.0, lr=0.01, steps=3000):
    """Orthogonal W with X @ W.T close to Y; X and Y are (samples, n), best with 2 n samples or more.

    Also the norm of the extra row. Where it is not near 0, training has not finished: take more steps.
    """
    n = X.shape[1]
    W = torch.nn.init.orthogonal_(torch.empty(n + 1, n)).requires_grad_()  # one extra row
    optimizer = torch.optim.Adam([W], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        S = W.T @ W - torch.eye(n)  # of W, not of W.data: that has no gradient
        loss = (X @ W.T - pad(Y, (0, 1))).square().sum() + reg * S.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    U, _, Vt = torch.linalg.svd(W.detach()[:n])  # W without its row, made orthogonal to the last bit
    return U @ Vt, W.detach()[n].norm()
