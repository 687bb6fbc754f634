import numpy as np


def range_by_query(table, within):
    kept = table.query("val >= val.max() - @within")["shifts"].to_numpy()
    return np.ptp(kept)


def range_by_loop(table, within):
    best = max(table["val"])
    kept = []
    for _, row in table.iterrows():
        if best - row["val"] <= within:
            kept.append(row["shifts"])
    return max(kept) - min(kept)


def range_of_sorted(table, within):
    near = table[table.val.max() - table.val <= within].sort_values("shifts")
    return near.shifts.iloc[-1] - near.shifts.iloc[0]


def correlation_by_hand(table):
    x, y = np.log10(table["lr"].to_numpy()), table["shifts"].to_numpy()
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())


def stop_by_index(table, patience):
    val, epochs = table["val"].tolist(), table["epoch"].tolist()
    best = 0
    for k in range(len(val)):
        if val[k] > val[best]:
            best = k
        if k - best >= patience:
            break
    return epochs[best]


def stop_by_running_best(table, patience):
    val = table["val"].to_numpy()
    for end in range(1, len(val) + 1):
        best = int(val[:end].argmax())
        if end - 1 - best == patience:
            return table["epoch"].iloc[best]
    return table["epoch"].iloc[int(val.argmax())]


def stop_by_while(table, patience):
    rows = list(table.itertuples())
    best, waited, k = rows[0], 0, 1
    while k < len(rows) and waited < patience:
        if rows[k].val > best.val:
            best, waited = rows[k], 0
        else:
            waited += 1
        k += 1
    return best.epoch


RIGHT = {
    "5.3": [range_by_query, range_by_loop, range_of_sorted],
    "5.4": [
        correlation_by_hand,
        lambda table: np.log(table["lr"]).corr(table["shifts"]),
        lambda table: table.assign(x=np.log10(table.lr))[["x", "shifts"]].corr().iloc[0, 1],
    ],
    "5.5": [stop_by_index, stop_by_running_best, stop_by_while],
}

WRONG = {
    "5.3": [
        lambda table, within: -range_by_loop(table, within),
        lambda table, within: within,
        lambda table, within: table[table["val"] >= within]["shifts"].mean(),
    ],
    "5.4": [
        lambda table: np.polyfit(np.log10(table["lr"]), table["shifts"], 1)[0],
        lambda table: np.corrcoef(np.log10(table["lr"]), table["emoji"])[0, 1],
    ],
    "5.5": [
        lambda table, patience: table["epoch"].iloc[-1],
        lambda table, patience: stop_by_index(table, patience) - 1,
        lambda table, patience: table["epoch"].iloc[patience],
        lambda table, patience: table["val"].max(),
    ],
}
