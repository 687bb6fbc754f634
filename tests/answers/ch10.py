import torch


def started_by_recursion(theta_0, debiased, decay, steps):
    """Undo the debiasing, then add what the start has left."""
    mean = {}
    for name, start in theta_0.items():
        left = start.clone()
        for _ in range(steps):
            left = decay * left
        mean[name] = left + debiased[name] * (1 - decay**steps)
    return mean


def spring_of_one_vector(theta, theta_0, strength):
    a = torch.cat([theta[name].flatten() for name in theta])
    b = torch.cat([theta_0[name].flatten() for name in theta])
    return strength * ((a - b) ** 2).sum()


def spring_by_loop(theta, theta_0, strength):
    total = 0.0
    for name, tensor in theta.items():
        total = total + torch.nn.functional.mse_loss(tensor, theta_0[name], reduction="sum")
    return total * strength


def spring_by_dots(theta, theta_0, strength):
    pairs = [(theta[name] - theta_0[name]).reshape(-1) for name in theta_0]
    return strength * torch.stack([d.dot(d) for d in pairs]).sum()


def offered_by_loop(line, reference):
    target = min(reference, max(line["test"]))
    best = None
    for alpha, row in line.iterrows():
        if row["test"] >= target and (best is None or row["shifts"] > line.loc[best, "shifts"]):
            best = alpha
    return best


def offered_by_cases(line, reference):
    reached = line[line.test >= reference]
    if reached.empty:
        return line.test.idxmax()
    return reached.sort_values("shifts", ascending=False).index[0]


RIGHT = {
    "10.2": [
        started_by_recursion,
        lambda theta_0, debiased, decay, steps: {
            n: torch.lerp(theta_0[n], debiased[n], 1 - decay**steps) for n in theta_0
        },
        lambda theta_0, debiased, decay, steps: {
            n: (debiased[n] + decay**steps * (theta_0[n] - debiased[n])).double().numpy()
            for n in debiased
        },
    ],
    "10.3": [spring_of_one_vector, spring_by_loop, spring_by_dots],
    "10.5": [
        offered_by_loop,
        offered_by_cases,
        lambda line, reference: (
            line["shifts"].where(line["test"] >= min(reference, line["test"].max())).idxmax()
        ),
    ],
}

WRONG = {
    "10.2": [
        lambda theta_0, debiased, decay, steps: theta_0,
        lambda theta_0, debiased, decay, steps: debiased,
        lambda theta_0, debiased, decay, steps: {
            n: (theta_0[n] + debiased[n]) / 2 for n in theta_0
        },
    ],
    "10.3": [
        lambda theta, theta_0, strength: 0.5 * spring_by_loop(theta, theta_0, strength),
        lambda theta, theta_0, strength: -spring_by_loop(theta, theta_0, strength),
        lambda theta, theta_0, strength: spring_by_loop(
            {"head.weight": theta["head.weight"]}, theta_0, strength
        ),
        lambda theta, theta_0, strength: torch.zeros(()),
    ],
    "10.5": [
        lambda line, reference: line.index.max(),
        lambda line, reference: line[line.test <= reference].shifts.idxmin(),
        lambda line, reference: 0.5,
    ],
}
