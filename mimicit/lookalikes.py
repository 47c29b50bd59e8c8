import numpy as np
DIMENSIONS=128*3
def describe(im):
    a=np.asarray(im.convert("RGB").resize((16,8))).astype(int); a=a-a.mean()
    return np.clip(np.rint(a.reshape(-1)*(100/max(1,abs(a).max()))),-127,127).astype(np.int8).tobytes()
def near(a,b):
    d=(a.astype(np.int64)*b).sum(1); return (d>0)&(d*d>=0.95**2*(a.astype(np.int64)**2).sum(1)*(b.astype(np.int64)**2).sum(1))
