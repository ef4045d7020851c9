/// Cells to each side that a function of the colour is fitted to.
let radius = 2

private let epsilon: Float = 0.65
private let flat: Float = 30

/// Enlarge a map of cells to the pixels of a picture, whose outlines it takes on: the fast guided
/// filter of runtime/guided_filter.py, which names the papers.
///
/// - Parameters:
///   - source: (h, w).
///   - guide: three colours in [0, 255], each (s * h, s * w).
/// - Returns: (s * h, s * w).
func guidedFilter(_ source: Plane, _ guide: [Plane]) -> Plane {
    let colours = guide.map { $0.area(source.height, source.width) }
    let means = colours.map { $0.mean() }
    var level = source.mean()
    func covariance(_ i: Int, _ other: Plane, _ itsMean: Plane) -> [Float] {
        let found = colours[i].map { colours[i].data[$0] * other.data[$0] }.mean()
        return found.data.indices.map { found.data[$0] - means[i].data[$0] * itsMean.data[$0] }
    }
    let variance = (0..<3).map { i in (0...i).map { j in covariance(i, colours[j], means[j]) } }
    let c = (0..<3).map { covariance($0, source, level) }
    var slopes = [Plane](repeating: Plane(height: source.height, width: source.width), count: 3)
    for k in level.data.indices {
        // L D L^T of the 3x3 matrix of the colours' covariance.
        let v10 = variance[1][0][k]
        let v20 = variance[2][0][k]
        let d0 = variance[0][0][k] + epsilon
        let l10 = v10 / d0
        let l20 = v20 / d0
        let d1 = variance[1][1][k] + epsilon - l10 * v10
        let e21 = variance[2][1][k] - l20 * v10
        let l21 = e21 / d1
        let d2 = variance[2][2][k] + epsilon - l20 * v20 - l21 * e21
        let y1 = c[1][k] - l10 * c[0][k]
        let x2 = (c[2][k] - l20 * c[0][k] - l21 * y1) / d2
        let x1 = y1 / d1 - l21 * x2
        let x0 = c[0][k] / d0 - l10 * x1 - l20 * x2
        slopes[0].data[k] = x0
        slopes[1].data[k] = x1
        slopes[2].data[k] = x2
        level.data[k] -= x0 * means[0].data[k]
        level.data[k] -= x1 * means[1].data[k]
        level.data[k] -= x2 * means[2].data[k]
    }
    func enlarge(_ plane: Plane) -> Plane { plane.linear(guide[0].height, guide[0].width) }
    var fitted = enlarge(level.mean()).data
    for (slope, colour) in zip(slopes, guide) {
        let steep = enlarge(slope.mean()).data
        for k in steep.indices { fitted[k] += steep[k] * colour.data[k] }
    }
    // Where the picture is flat nothing can be fitted, and the map is interpolated.
    let total = level.map { variance[0][0][$0] + variance[1][1][$0] + variance[2][2][$0] }
    let trust = enlarge(total.map { total.data[$0] / (total.data[$0] + flat) }.mean()).data
    let plain = enlarge(source)
    return plain.map { plain.data[$0] + trust[$0] * (fitted[$0] - plain.data[$0]) }
}

extension Plane {
    /// The mean of 5x5 cells; cells over the border are those mirrored at its outermost ones.
    fileprivate func mean() -> Plane {
        func mirrored(_ at: Int, _ length: Int) -> Int {
            var inside = at
            while length > 1 && !(0..<length).contains(inside) {
                inside = inside < 0 ? -inside : 2 * length - 2 - inside
            }
            return length > 1 ? inside : 0
        }
        var across = Plane(height: height, width: width)
        for x in 0..<width {
            for k in -radius...radius {
                let from = mirrored(x + k, width)
                for y in 0..<height { across.data[y * width + x] += data[y * width + from] }
            }
        }
        var result = Plane(height: height, width: width)
        for y in 0..<height {
            for k in -radius...radius {
                let from = mirrored(y + k, height) * width
                for x in 0..<width { result.data[y * width + x] += across.data[from + x] }
            }
        }
        let count = Float((2 * radius + 1) * (2 * radius + 1))
        return result.map { result.data[$0] / count }
    }
}
