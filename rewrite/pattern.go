package rewrite

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// A pattern is a regular expression with the words of a table of which a text
// must hold one to match at all: looking for them costs a hundredth.
type pattern struct {
	words uint64
	re    *regexp.Regexp
	sure  uint64 // words that match by themselves
}

// match reports whether text, in which found occur, matches.
func (p pattern) match(text string, found uint64) bool {
	return found&p.sure != 0 || found&p.words != 0 && p.re.MatchString(text)
}

// urlWords are the words of all patterns for URLs, so that one pass serves
// them all.
var urlWords = newWords(
	// ends a subscription
	"unsubscri", "unsub", "opt", "remove", "suscri", "sinscri", "abmeld", "abbestell", "signoff", "mailman", "reject", "refus", "deny",
	"수신거부", "%ec%88%98%ec%8b%a0%ea%b1%b0%eb%b6%80", "%bc%f6%bd%c5%b0%c5%ba%ce",
	// has a shape of its own
	"wp-", "wp_", "signature", "expires", "hash", "ticket", "action-token", "oobcode", "id_token_hint", "mb_", "cert", "auth", "/user/", "data=", "z-app-",
	// may hold a secret
	"token", "key", "code", "otp", "secret", "sig=", "nonce", "jwt", "sid=", "?t=", "&t=", "?k=", "&k=",
)

// urlReason returns LinkUnsubscribe or LinkOneTime for a URL that looks like
// either, "" for others.
func urlReason(href string) string {
	switch found := urlWords.in(href); {
	case unsubscribeURL.match(href, found):
		return LinkUnsubscribe
	case isOneTime(href, found):
		return LinkOneTime
	}
	return ""
}

// unsubscribeURL knows links that end a subscription: a scanner that follows
// them through us must never count as a click, and the reader's wish is
// nobody's business. The host counts as well. Its second half is for Mailman,
// for Korean sites, and for 수신거부 in UTF-8 and EUC-KR.
var unsubscribeURL = pattern{
	words: urlWords.set("unsub", "opt", "remove", "suscri", "sinscri", "abmeld", "abbestell", "signoff", "mailman", "reject", "refus", "deny"),
	re: regexp.MustCompile(`(?i)[/?&=._-]unsub(?:[/?&=._-]|$)|\bopt[-_]?out(?:\b|_)|list[-_]?remove|remove[-_]?me\b|` +
		`desuscri|desinscri|abmelden|abbestell|[?&]signoff|` +
		`/mailman/options/|` +
		`(?:mail|news|sms|recv|receive|receipt|spam)[-_/]?(?:reject|refus|deny)|(?:reject|refuse|deny)[-_]?(?:e?mail|sms|receive)\b|/(?:reject|refuse)(?:\.\w{2,5})?/?(?:[?#]|$)`),
	sure: urlWords.set("unsubscri", "수신거부", "%ec%88%98%ec%8b%a0%ea%b1%b0%eb%b6%80", "%bc%f6%bd%c5%b0%c5%ba%ce"),
}

// textWords are the words of unsubscribeText, small and capital beyond ASCII.
var textWords = newWords(
	"unsubscri", "subscri", "opt", "stop receiving", "no longer", "remove", "leave",
	"수신", "구독", "받지", "그만", "配信", "購読", "登録", "受信", "退", "取消", "不再",
	"abmeld", "abbestell", "austrag", "sabonn", "sinscri", "ne plus", "baja", "suscri", "dejar de", "dejes de",
	"inscri", "assinatura", "descadastr", "deixar de", "iscri", "cancella",
	"тпис", "ТПИС", "одписк", "ОДПИСК", "ассылк", "АССЫЛК",
	"afmeld", "uitschrij", "schrijf", "opzeg", "subskry", "wypis", "avregistr", "prenumer", "avmeld", "tilau", "postituslist", "abonel", "steden",
)

// unsubscribeText knows what the label of such a link says, or the sentence it
// stands in: English, Korean, Japanese, Chinese, German, French, Spanish,
// Portuguese, Italian, Russian, Dutch, Polish, Swedish and Norwegian, Finnish,
// Turkish. Managing a subscription may mean to end one, its plan or its bill
// does not.
var unsubscribeText = pattern{
	words: ^uint64(0),
	re: regexp.MustCompile(`(?i)\bopt(?:ing)?[ -]?out\b|stop receiving|no longer (?:wish|want)|remove (?:me|yourself) from|leave this (?:mailing )?list|` +
		`manage (?:your |my |e-?mail |newsletter )*subscriptions?(?: preferences| settings)?(?:$|[^\pL\d ]| +(?:or|and|here|at|by)\b)|` +
		`수신\s*(?:을|를)?\s*(?:거부|거절|해지|중지|중단|차단|취소|철회|원하지|원치|희망하지)|수신\s*동의\s*(?:를)?\s*(?:철회|해지|취소)|구독\s*(?:을|를)?\s*(?:취소|해지|중지|중단|거부)|받지\s*않|그만\s*받|` +
		`(?:配信|購読|受信|登録)(?:を|の)?(?:停止|解除|拒否|中止|やめ|希望され?な)|退会|退订|退訂|取消(?:订|訂)(?:阅|閱)|不再(?:接收|收到)|` +
		`\babmeld(?:en|ung)|abbestell|\baustragen|d[ée]sabonn|d[ée]sinscri|ne plus recevoir|` +
		`(?:dar|dar[st]e|date) de baja|(?:cancel|anul)\pL* (?:l?a |mi |tu |su |minha |sua )?(?:su[bs]?scri[pçc]|inscri|assinatura)|desuscri|dej\pL+ de recibir|descadastr|deixar de receber|` +
		`disiscri|(?:annull|cancell)\pL* (?:l[’'])?(?:la (?:tua )?)?iscri|cancella(?:ti|mi|rsi|re la sottoscri)|` +
		`отпис|(?:отмен|отказ)\pL* (?:от )?(?:подписк|рассылк)|` +
		`\bafmeld|uitschrij|schrijf (?:je|u|me) uit|(?:nieuwsbrief|abonnement) opzeg|wypisz|wypisa|(?:anuluj|rezygn\pL+ z|zrezygnuj z) subskry|` +
		`avregistrer|avprenumer|avsluta (?:din )?prenumer|avmeld|(?:peru(?:uta)?|lopeta) (?:uutiskirjeen )?tilau|poistu postituslist|` +
		`abonel[iİ]k\pL* (?:ç[ıI]k|ayr[ıI]l|[iİ]ptal)|abonel[iİ][ğg][iİ]\pL* (?:[iİ]ptal|sonland[ıI]r)|l[iİ]steden (?:ç[ıI]k|ayr[ıI]l)`),
	sure: textWords.set("unsubscri"),
}

// isUnsubscribeText reports whether the label of a link, or the sentence it
// stands in, says that it ends a subscription.
func isUnsubscribeText(text string) bool {
	return unsubscribeText.match(text, textWords.in(text))
}

// isVague reports a label that means what the text around it says.
func isVague(label string) bool {
	label = strings.TrimFunc(label, func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.ContainsFunc(vagueLabels, func(vague string) bool { return len(label) == len(vague) && strings.EqualFold(label, vague) })
}

// vagueLabels take as many bytes in capitals.
var vagueLabels = []string{
	"here", "click here", "tap here", "press here", "please click here", "right here", "link", "this link", "the link", "click this link", "click on this link",
	"click", "this page",
	"여기", "여기를", "여기를 클릭", "여기를 클릭하세요", "여기를 눌러", "클릭", "클릭하세요", "이곳", "이곳을 클릭", "이 링크", "링크",
	"こちら", "こちらから", "こちらをクリック", "ここ", "ここをクリック", "クリック", "点击这里", "点击此处", "这里", "此处", "點擊這裡", "這裡", "按此", "請按此",
	"hier", "hier klicken", "klicken sie hier", "diesen link", "ici", "cliquez ici", "cliquer ici", "ce lien",
	"aquí", "aqui", "haga clic aquí", "haz clic aquí", "clic aquí", "este enlace", "clique aqui", "este link", "qui", "clicca qui", "cliccando qui", "questo link",
	"тут", "здесь", "сюда", "нажмите здесь", "по ссылке", "по этой ссылке", "klik hier", "deze link", "tutaj", "kliknij tutaj", "tu", "ten link",
	"här", "klicka här", "her", "klikk her", "tästä", "tässä", "tätä linkkiä", "klikkaa tästä", "buraya", "buraya tıklayın", "buraya tıklayınız", "burada", "tıklayın",
}
