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
    func linear(_ toHeight: Int, _ toWidth: Int) -> Plane {
        let rows = Between(from: height, to: toHeight)
        let columns = Between(from: width, to: toWidth)
        var result = Plane(height: toHeight, width: toWidth)
        var row = [Float](repeating: 0, count: width)
        for y in 0..<toHeight {
            let upper = rows.low[y] * width
            let lower = rows.high[y] * width
            for x in 0..<width {
                row[x] = data[upper + x] + (data[lower + x] - data[upper + x]) * rows.weight[y]
            }
            for x in 0..<toWidth {
                let left = row[columns.low[x]]
                result.data[y * toWidth + x] = left + (row[columns.high[x]] - left) * columns.weight[x]
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
            let place = (Double(i) + 0.5) * Double(from) / Double(to) - 0.5
            let at = min(max(place, 0), Double(from - 1))
            low.append(Int(at))
            high.append(min(Int(at) + 1, from - 1))
            weight.append(Float(at - Double(Int(at))))
        }
    }
}
