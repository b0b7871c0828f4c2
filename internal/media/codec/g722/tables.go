package g722

// qmf are the taps 0, 2, 4 ... of the quadrature mirror filter of 24, in units of 2^-13 (table 11/G.722). It is symmetric, so
// taps 1, 3, 5 ... are the same backwards.
var qmf = [12]int32{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}

// Lower band.
var (
	// decision6 are the decision levels of the 60-level quantiser, relative to the scale factor (Q6).
	decision6 = [30]int32{0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
		1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919}
	// output6 are its output values by code (QM6). Codes 0 to 3 are never sent; transmission errors make them.
	output6 = [64]int32{-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360,
		-8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
		24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008,
		3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136}
	// output4 are the values by the upper four bits of the code (QM4). Only they steer the adaptation.
	output4 = [16]int32{0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0}
	// stepLower are the logarithmic changes of the scale factor by those four bits (WL of RL42).
	stepLower = [16]int32{-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60}
)

// Upper band.
var (
	// output2 are the values by code (QM2), and stepUpper the changes of the scale factor (WH of RH2).
	output2   = [4]int32{-7408, -1616, 7408, 1616}
	stepUpper = [4]int32{798, -214, 798, -214}
)

const decision2 = 564 // the one decision level of the upper band (Q2)

// antilog is 2^(i/32) in units of 2^-11 (ILB).
var antilog = [32]int32{2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
	2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008}
