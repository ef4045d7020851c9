/// A part of a frame: left, top, width and height in pixels. As `View` in runtime/objects/view.py.
struct Box: Equatable {
    let left: Int
    let top: Int
    let width: Int
    let height: Int

    var size: Size { Size(height: height, width: width) }
    var centreX: Double { Double(left) + Double(width) / 2 }
    var centreY: Double { Double(top) + Double(height) / 2 }

    static func whole(_ frame: Size) -> Box {
        Box(left: 0, top: 0, width: frame.width, height: frame.height)
    }

    /// - Returns: a part of a frame, moved and cut so that it lies in the frame.
    static func at(
        _ centreX: Double, _ centreY: Double, height: Double, width: Double, frame: Size
    ) -> Box {
        func span(_ centre: Double, _ length: Double, _ limit: Int) -> (Int, Int) {
            let side = min(Int(length.rounded(.toNearestOrEven)), limit)
            let start = (centre - Double(side) / 2).rounded(.toNearestOrEven)
            return (min(max(Int(start), 0), limit - side), side)
        }
        let (top, rows) = span(centreY, height, frame.height)
        let (left, columns) = span(centreX, width, frame.width)
        return Box(left: left, top: top, width: columns, height: rows)
    }

    /// - Returns: the smallest box that holds both.
    func joined(_ other: Box) -> Box {
        let (left, top) = (min(left, other.left), min(top, other.top))
        let right = max(self.left + width, other.left + other.width)
        let bottom = max(self.top + height, other.top + other.height)
        return Box(left: left, top: top, width: right - left, height: bottom - top)
    }

    /// Tell whether another box reaches a side of this one that is not the frame's.
    func cuts(_ box: Box, _ frame: Size) -> Bool {
        let (right, bottom) = (left + width, top + height)
        if box.left <= left && left > 0 || box.top <= top && top > 0 { return true }
        if box.left + box.width >= right && right < frame.width { return true }
        return box.top + box.height >= bottom && bottom < frame.height
    }

    /// - Returns: this part of a label map of the frame's size.
    func of(_ labels: [UInt8], _ frame: Size) -> [UInt8] {
        var part: [UInt8] = []
        for y in top..<top + height {
            let start = y * frame.width + left
            part += labels[start..<start + width]
        }
        return part
    }

    /// - Returns: the label map of a frame that is `part` here, and 0 elsewhere.
    func placed(_ part: [UInt8], _ frame: Size) -> [UInt8] {
        var labels = [UInt8](repeating: 0, count: frame.height * frame.width)
        for y in 0..<height {
            let start = (top + y) * frame.width + left
            labels.replaceSubrange(start..<start + width, with: part[y * width..<(y + 1) * width])
        }
        return labels
    }
}

/// - Returns: the smallest box that holds all objects of a label map, or nil for none.
func boxAround(_ labels: [UInt8], _ frame: Size) -> Box? {
    bounds(frame) { labels[$0] != 0 }
}

/// - Returns: the smallest box that holds the chosen ones of height x width places, or nil for none.
func bounds(_ size: Size, _ isChosen: (Int) -> Bool) -> Box? {
    var (top, bottom) = (size.height, -1)
    var (left, right) = (size.width, -1)
    for y in 0..<size.height {
        for x in 0..<size.width where isChosen(y * size.width + x) {
            top = min(top, y)
            bottom = y
            left = min(left, x)
            right = max(right, x)
        }
    }
    if bottom < 0 { return nil }
    return Box(left: left, top: top, width: right - left + 1, height: bottom - top + 1)
}
