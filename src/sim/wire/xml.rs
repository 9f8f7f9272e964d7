//! Just enough XML for the query protocol's replies: elements and escaped text.

use std::fmt::Display;

/// A document in the making. Element names are ours and need no escaping.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    /// An element around whatever `inner` writes.
    pub(super) fn element(&mut self, name: &str, inner: impl FnOnce(&mut Self)) -> &mut Self {
        self.tag("<", name);
        inner(self);
        self.tag("</", name);
        self
    }

    /// An element that holds a text.
    pub(super) fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.element(name, |xml| escape(&value.to_string(), &mut xml.0))
    }

    /// A text within the element that is open.
    pub(super) fn content(&mut self, value: impl Display) -> &mut Self {
        escape(&value.to_string(), &mut self.0);
        self
    }

    /// The element, if there is a value. AWS leaves out what it does not know.
    pub(super) fn maybe(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// A list: one `member` element for each of `items`.
    pub(super) fn list<T>(
        &mut self,
        (name, member): (&str, &str),
        items: impl IntoIterator<Item = T>,
        each: impl Fn(&mut Self, T),
    ) -> &mut Self {
        self.element(name, |xml| {
            for item in items {
                xml.element(member, |xml| each(xml, item));
            }
        })
    }

    /// The document, its root element in `namespace`; no attribute where that is empty.
    pub(super) fn document(root: &str, namespace: &str, inner: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        if namespace.is_empty() {
            xml.tag("<", root);
        } else {
            xml.tag("<", &format!("{root} xmlns=\"{namespace}\""));
        }
        inner(&mut xml);
        xml.tag("</", root);
        xml.0
    }

    fn tag(&mut self, open: &str, name: &str) {
        self.0.push_str(open);
        self.0.push_str(name);
        self.0.push('>');
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A reader would turn it into a line feed.
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            // XML 1.0 has no way to say these at all.
            c if c.is_control() && c < '\u{20}' => out.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_elements_nest() {
        let text = Xml::document("r", "http://x/", |xml| {
            xml.element("a", |xml| {
                xml.text("b", "<&>\"'\r\n\u{1b}é").maybe("c", None::<&str>).maybe("d", Some(7));
            });
            xml.list(("set", "item"), [1, 2], |xml, n| {
                xml.text("n", n);
            });
        });
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<r xmlns=\"http://x/\">\
            <a><b>&lt;&amp;&gt;&quot;&apos;&#13;\n\u{fffd}é</b><d>7</d></a>\
            <set><item><n>1</n></item><item><n>2</n></item></set></r>";
        assert_eq!(text, expected);
    }
}
