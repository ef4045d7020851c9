/// A part of a plane: rows from `top` to before `bottom`, columns from `left` to before `right`.
struct Window {
    let top: Int
    let bottom: Int
    let left: Int
    let right: Int
}

/// A map of (height, width) float32, row by row.
struct Plane {
    let height: Int
    let width: Int
    var data: [Float]

    init(height: Int, width: Int) {
        self.init(height: height, width: width, data: [Float](repeating: 0, count: height * width))
    }

    init(height: Int, width: Int, data: [Float]) {
        self.height = height
        self.width = width
        self.data = data
    }

    /// - Returns: a plane of the same size, made of what `value` returns for each index of the data.
    func map(_ value: (Int) -> Float) -> Plane {
        Plane(height: height, width: width, data: data.indices.map(value))
    }

    func cut(_ part: Window) -> Plane {
        var result = Plane(height: part.bottom - part.top, width: part.right - part.left)
        for y in 0..<result.height {
            for x in 0..<result.width {
                result.data[y * result.width + x] = data[(part.top + y) * width + part.left + x]
            }
        }
        return result
    }

    /// Resize bilinearly, pixel areas onto pixel areas (half-pixel centres).
    ///
    /// - Returns: that part of the result; nil is all of it.
    func linear(_ toHeight: Int, _ toWidth: Int, part: Window? = nil) -> Plane {
        let part = part ?? Window(top: 0, bottom: toHeight, left: 0, right: toWidth)
        let rows = Between(from: height, to: toHeight)
        let columns = Between(from: width, to: toWidth)
        var result = Plane(height: part.bottom - part.top, width: part.right - part.left)
        var row = [Float](repeating: 0, count: width)
        var i = 0
        for y in part.top..<part.bottom {
            let upper = rows.low[y] * width
            let lower = rows.high[y] * width
            for x in 0..<width {
                row[x] = data[upper + x] + (data[lower + x] - data[upper + x]) * rows.weight[y]
            }
            for x in part.left..<part.right {
                let left = row[columns.low[x]]
                result.data[i] = left + (row[columns.high[x]] - left) * columns.weight[x]
                i += 1
            }
        }
        return result
    }

    /// Shrink by the mean of the area that each new cell covers; where a side grows, bilinearly.
    func area(_ toHeight: Int, _ toWidth: Int) -> Plane {
        if toHeight > height || toWidth > width { return linear(toHeight, toWidth) }
        var across = Plane(height: height, width: toWidth)
        for x in 0..<toWidth {
            for (from, weight) in covered(x, width, toWidth) {
                for y in 0..<height { across.data[y * toWidth + x] += data[y * width + from] * weight }
            }
        }
        var result = Plane(height: toHeight, width: toWidth)
        for y in 0..<toHeight {
            for (from, weight) in covered(y, height, toHeight) {
                for x in 0..<toWidth {
                    result.data[y * toWidth + x] += across.data[from * toWidth + x] * weight
                }
            }
        }
        return result
    }

    private func covered(_ cell: Int, _ from: Int, _ to: Int) -> [(Int, Float)] {
        let edge = 1e-9
        let scale = Double(from) / Double(to)
        let start = Double(cell) * scale
        let stop = min(Double(cell + 1) * scale, Double(from))
        let first = Int((start + edge).rounded(.down))
        let last = min(Int((stop - edge).rounded(.up)), from)
        return (first..<last).map { k in
            (k, Float((min(Double(k + 1), stop) - max(Double(k), start)) / scale))
        }
    }
}

/// For each of `to` places, the two of `from` places that it lies between, and how near the second.
struct Between {
    private(set) var low: [Int] = []
    private(set) var high: [Int] = []
    private(set) var weight: [Float] = []

    init(from: Int, to: Int) {
        for i in 0..<to {
            let at = Float((Double(i) + 0.5) * Double(from) / Double(to) - 0.5)
            let first = at.rounded(.down)
            low.append(max(Int(first), 0))
            high.append(min(Int(first) + 1, from - 1))
            weight.append(at - first)
        }
    }
}

private let one = 2048

/// Bilinear samples of 8 bits each, as OpenCV takes them: with weights of 11 bits, to the last one.
struct Samples {
    private let rows: Between
    private let columns: Between
    private let down: [Int]
    private let across: [Int]

    init(from: Size, to: Size) {
        rows = Between(from: from.height, to: to.height)
        columns = Between(from: from.width, to: to.width)
        down = rows.weight.map { Int(($0 * Float(one)).rounded(.toNearestOrEven)) }
        across = columns.weight.map { Int(($0 * Float(one)).rounded(.toNearestOrEven)) }
    }

    /// - Parameter value: what a row and a column hold, in [0, 255].
    /// - Returns: the sample of row `y` and column `x`.
    func at(_ y: Int, _ x: Int, _ value: (Int, Int) -> Int) -> Int {
        let (left, right) = (columns.low[x], columns.high[x])
        let upper = between(x, value(rows.low[y], left), value(rows.low[y], right))
        return below(y, upper, between(x, value(rows.high[y], left), value(rows.high[y], right)))
    }

    private func between(_ x: Int, _ left: Int, _ right: Int) -> Int {
        (left * (one - across[x]) + right * across[x]) >> 4
    }

    private func below(_ y: Int, _ upper: Int, _ lower: Int) -> Int {
        (((upper * (one - down[y])) >> 16) + ((lower * down[y]) >> 16) + 2) >> 2
    }
}
